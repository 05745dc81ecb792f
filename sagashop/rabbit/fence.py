"""The fence behind RabbitMQ: a set in Redis of the messages that have been committed. See streams/fenced.lua."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog

from sagashop import keys
from sagashop.bus import Delivery
from sagashop.messages import now_ms
from sagashop.streams import commit
from sagashop.streams.commit import Keys, Outlet, Scripts, compile_effects, packed
from sagashop.streams.dead_letters import letter_fields

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.effects import Effects

log = structlog.get_logger()

KEEP_MS, KEEP = 300_000, 20_000
"""A message comes again soon or not at all: when its consumer's connection breaks, or its relay starts again."""


class Fence:
    """Of one service. What is behind it may be committed again and again, and takes hold once."""

    def __init__(self, service: str, redis: Redis, outlet: Outlet) -> None:
        self._service, self._redis, self._outlet = service, redis, outlet
        self._key, self._scripts = keys.fence(service), Scripts(redis)

    def commit(
        self, decided: Sequence[tuple[Delivery, Effects, str]], consumer: str
    ) -> tuple[list[Delivery], list[Delivery]]:
        """One call for a batch: those that are settled, by this call or before, and those whose guards failed.

        One that an error stopped half-way is a dead letter then, and settled.
        """
        if not decided:
            return [], []
        places, commits = Keys(self._key), []
        for delivery, effects, trace in decided:
            compiled = compile_effects(effects, places, service=self._service, trace=trace, outlet=self._outlet)
            commits.append((delivery.entry, *compiled))
        settled, conflicts = list[Delivery](), list[Delivery]()
        answers = self._scripts.run("fenced", list(places), [now_ms(), packed(commits)])
        for (delivery, _, _), answer in zip(decided, answers, strict=True):
            if answer == commit.CONFLICT:
                conflicts.append(delivery)
                continue
            if reason := commit.stopped_by(answer):
                self.bury(delivery, reason, "", consumer)
            settled.append(delivery)
        return settled, conflicts

    def bury(self, delivery: Delivery, reason: str, details: str, consumer: str) -> None:
        """Move it to the dead letters, once."""
        letter = letter_fields(
            delivery.fields, source=delivery.source, entry=delivery.entry, reason=reason, details=details,
            attempts=delivery.attempt, consumer=consumer,
        )  # fmt: skip
        words = [now_ms(), delivery.entry, *letter]
        if self._scripts.run("buried", [self._key, keys.dead_letters(self._service)], words):
            log.error(
                "entry.dead", stream=delivery.source, entry=delivery.entry, reason=reason, attempts=delivery.attempt
            )

    def shorten(self) -> None:
        """Forget what is old, but never the newest `KEEP`."""
        beyond = int(self._redis.zcard(self._key)) - KEEP
        if beyond > 0:
            newest: Any = self._redis.zrange(self._key, beyond - 1, beyond - 1, withscores=True)
            self._redis.zremrangebyscore(self._key, "-inf", min(newest[0][1], now_ms() - KEEP_MS))
