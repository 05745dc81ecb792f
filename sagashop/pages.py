"""Paging by cursor: a page names the place where the next one begins, so rows that arrive meanwhile shift nothing.

position = decode(query.cursor, tuple[int, str])       # None on the first page
next_cursor = encode((row.created_ms, row.order_id))
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec

from sagashop.errors import InvalidRequest

T = TypeVar("T")


class BadCursor(InvalidRequest):
    kind, title = "bad-cursor", "The cursor is not one of ours; start again without it"


class Paging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a paged list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100, description="Most items on the page")] = 20
    cursor: Annotated[str, msgspec.Meta(max_length=512, description="`next_cursor` of the page before")] | None = None


def encode(position: tuple[int | str, ...]) -> str:
    """An opaque, URL-safe cursor for the last row of a page."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode(cursor: str | None, position: type[T]) -> T | None:
    """The position in a cursor, checked against its type; None for no cursor.

    Raises:
        BadCursor: it was not made by `encode`, or for another list.
    """
    if not cursor:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=position)
    except (binascii.Error, ValueError) as wrong:
        raise BadCursor from wrong
