"""Reading a stream without a group (F03): from the beginning, from an id, or only what comes from now on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

Entry = tuple[str, dict[str, str]]


def last_id(redis: Redis, stream: str) -> str:
    """The id of the newest entry, `0-0` for a stream that does not exist."""
    newest: Any = redis.xrevrange(stream, count=1)
    return str(newest[0][0]) if newest else "0-0"


def read(redis: Redis, stream: str, after: str, *, limit: int = 500, block_ms: int | None = None) -> list[Entry]:
    """Entries after this id, waiting up to `block_ms` for the first. Nothing is acknowledged, nothing is shared."""
    answer: Any = redis.xread({stream: after}, count=limit, block=block_ms)
    entries: list[Entry] = answer[0][1] if answer else []
    return entries


def read_all(redis: Redis, stream: str, after: str = "0-0") -> Iterator[Entry]:
    """Everything after this id up to now, page by page."""
    while page := read(redis, stream, after):
        yield from page
        after = page[-1][0]
