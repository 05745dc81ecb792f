"""Leave out what a library takes along and we never use: each idle process of the stack would keep it in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(library: str) -> Iterator[None]:
    """Within the `with`, an optional library seems not to be installed, for the import of one that does without it.

    Does nothing where it is loaded already. For one thread, at the start of a process.
    """
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # Python's own way to say so
    try:
        yield
    finally:
        del sys.modules[library]
