"""Reading many rows of redis-ledger without a round trip for each, and without one answer that holds them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from sagashop.streams.commit import load_rows

if TYPE_CHECKING:
    from redis import Redis

BATCH = 500


def rows_by_id(redis: Redis, ids: Iterable[str], key: Callable[[str], str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each id with its row, `BATCH` in a round trip; a missing row is empty."""
    rest = iter(ids)
    while some := list(islice(rest, BATCH)):
        rows = load_rows(redis, [key(each) for each in some])
        yield from ((each, rows[key(each)]) for each in some)
