"""What a service's streams look like now (F04): length, ids, memory, groups, lag, pending, consumers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import ResponseError

from sagashop import keys

if TYPE_CHECKING:
    from redis import Redis


class Consumer(msgspec.Struct, frozen=True):
    name: str
    pending: int
    idle_ms: int


class Group(msgspec.Struct, frozen=True):
    """`lag`: entries not delivered yet (None where Redis cannot tell); `pending`: delivered, not acknowledged."""

    name: str
    lag: int | None
    pending: int
    last_delivered: str
    consumers: list[Consumer]


class Stream(msgspec.Struct, frozen=True):
    channel: str
    length: int
    first: str | None
    last: str | None
    memory_bytes: int
    groups: list[Group]


def overview(redis: Redis, channels: Sequence[str]) -> list[Stream]:
    """These channels' streams; those that do not exist yet are left out."""
    found = (_stream(redis, channel) for channel in channels)
    return [stream for stream in found if stream is not None]


def _stream(redis: Redis, channel: str) -> Stream | None:
    name = keys.stream(channel)
    try:
        info: dict[str, Any] = redis.xinfo_stream(name)
    except ResponseError:  # no such key
        return None
    return Stream(
        channel=channel,
        length=info["length"],
        first=info["first-entry"][0] if info["first-entry"] else None,
        last=info["last-entry"][0] if info["last-entry"] else None,
        memory_bytes=int(redis.memory_usage(name) or 0),
        groups=[_group(redis, name, group) for group in redis.xinfo_groups(name)],
    )


def _group(redis: Redis, stream: str, info: dict[str, Any]) -> Group:
    consumers = redis.xinfo_consumers(stream, info["name"])
    return Group(
        name=info["name"],
        lag=info.get("lag"),
        pending=info["pending"],
        last_delivered=info["last-delivered-id"],
        consumers=[Consumer(name=c["name"], pending=c["pending"], idle_ms=c["idle"]) for c in consumers],
    )
