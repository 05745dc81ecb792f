"""Streams are trimmed by age, from the old end, never above an entry that a group still needs (see trim.lua)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from sagashop import keys, redis_clients
from sagashop.messages import now_ms
from sagashop.streams.commit import Scripts

if TYPE_CHECKING:
    from sagashop.settings import Settings

log = structlog.get_logger()
EVERY_S = 5.0


def own_channels(service: str) -> list[str]:
    """The channels only this service reads, so that its worker may look after them."""
    return [f"{service}.{purpose}" for purpose in ("commands", "timers", "replay")]


def trim(scripts: Scripts, channel: str, *, keep_s: float, groups: Sequence[str] = ()) -> int:
    """Drop entries older than `keep_s` seconds that every group has acknowledged; how many went.

    groups: nothing is dropped while one of these does not exist, since it would miss what it never saw
    """
    oldest_kept = f"{max(0, now_ms() - int(keep_s * 1000))}-0"
    return int(scripts.run("trim", [keys.stream(channel)], [oldest_kept, *groups]))


def trimmer(
    settings: Settings, channels: Sequence[str], groups: Sequence[str] = ()
) -> Callable[[threading.Event], None]:
    """A loop that trims these channels every few seconds until its event is set; for a worker's `beside`."""

    def loop(stopping: threading.Event) -> None:
        scripts = Scripts(redis_clients.ledger(settings))
        while not stopping.wait(EVERY_S):
            try:
                for channel in channels:
                    trim(scripts, channel, keep_s=settings.stream_keep_s, groups=groups)
            except RedisError as error:
                log.warning("trim.postponed", error=str(error))

    return loop
