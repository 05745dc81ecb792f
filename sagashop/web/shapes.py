"""What requests look like, for modules that workers import, too: here is no Flask."""

from __future__ import annotations

import msgspec


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies and queries: a field we do not know is an error, not a silent misunderstanding."""
