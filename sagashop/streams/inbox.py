"""One consumer of a service's group on its source streams: reading, retries, takeover, commits, dead letters."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError, ResponseError

from sagashop import keys
from sagashop.bus import Delivery
from sagashop.messages import now_ms
from sagashop.streams import commit
from sagashop.streams.commit import Scripts, compile_effects, load_rows

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.effects import Effects, Rows
    from sagashop.settings import Settings

log = structlog.get_logger()


class RedisInbox:
    """See `sagashop.bus.Inbox`.

    Retries and takeovers go one way, XPENDING + XCLAIM with a minimum idle time: it tells the delivery count before the
    handler runs and counts only the entry it claims, where XAUTOCLAIM and history reads count a whole batch.
    """

    def __init__(self, service: str, channels: Sequence[str], consumer: str, *, redis: Redis, blocking: Redis,
                 settings: Settings) -> None:  # fmt: skip
        self.service, self.group, self.consumer = service, service, consumer or socket.gethostname()
        self._redis, self._blocking, self._settings = redis, blocking, settings
        self._scripts = Scripts(redis)
        self._timer_stream = keys.stream(f"{service}.timers")
        self._sources = [keys.stream(channel) for channel in channels] + [keys.replay(service)]
        self._read_up_to_ms: dict[str, int] = {}
        self._reclaim_own, self._paused = True, False
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing

    def create_groups(self) -> None:
        """Make every group that is missing, from the stream's beginning, so that nothing sent before is lost."""
        for source in self._sources:
            try:
                self._redis.xgroup_create(source, self.group, id="0", mkstream=True)
                log.info("group.created", stream=source, group=self.group)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def read(self, limit: int, block_ms: int) -> list[Delivery]:
        """New entries of all sources; `limit` holds for each."""
        asked_ms = now_ms()
        answer: Any = self._blocking.xreadgroup(
            self.group, self.consumer, dict.fromkeys(self._sources, ">"), count=limit, block=block_ms
        )
        entries: dict[str, list[tuple[str, dict[str, str]]]] = dict(answer)
        for source in self._sources:
            found = entries.get(source, [])
            self._read_up_to_ms[source] = asked_ms if len(found) < limit else int(found[-1][0].split("-")[0])
        return [Delivery(source, entry, fields) for source, found in entries.items() for entry, fields in found]

    def retries(self, limit: int) -> list[Delivery]:
        """Entries whose backoff is over: own failures, and those of consumers that stopped.

        At the first call own entries come at once: this consumer was down, and nobody else works on them.
        """
        own, self._reclaim_own = self._reclaim_own, False
        found = []
        for source in self._sources:
            if own:
                found += self._claim(source, limit, min_idle_ms=0, consumer=self.consumer)
            found += self._claim(source, limit, min_idle_ms=int(self._settings.visibility_s * 1000))
        return found

    def _claim(self, source: str, limit: int, *, min_idle_ms: int, consumer: str | None = None) -> list[Delivery]:
        pending: list[dict[str, Any]] = self._redis.xpending_range(
            source, self.group, "-", "+", limit, consumername=consumer, idle=min_idle_ms or None
        )
        claimed = []
        for entry in pending:
            count = entry["times_delivered"]
            if min_idle_ms and entry["time_since_delivered"] < self._backoff_ms(count):
                continue
            got: Any = self._redis.xclaim(source, self.group, self.consumer, min_idle_ms, [entry["message_id"]])
            claimed += [Delivery(source, entry_id, fields, count + 1) for entry_id, fields in got]
            if entry["consumer"] != self.consumer and got:
                log.info("entry.taken_over", stream=source, entry=entry["message_id"], gone=entry["consumer"])
        return claimed

    def _backoff_ms(self, count: int) -> float:
        """At least the visibility time; doubled with each attempt up to a minute, with a fifth of jitter."""
        doubled: float = self._settings.visibility_s * 2 ** (count - 1)
        return min(60.0, doubled) * 1000 * self._jitter.uniform(1.0, 1.2)

    def load(self, wanted: Sequence[str]) -> Rows:
        return load_rows(self._redis, wanted)

    def commit(self, decided: Sequence[tuple[Delivery, Effects, str]]) -> list[Delivery]:
        """One pipeline of commits. An entry that somebody else has committed is done: that is what the fence is for."""
        calls = []
        for delivery, effects, trace in decided:
            call = compile_effects(effects, service=self.service, trace=trace, first_key=delivery.source)
            calls.append((call.keys, [self.group, delivery.entry, call.guard_count, *call.guards, *call.commands]))
        answers = self._scripts.run_many("commit", calls)
        conflicts = []
        for (delivery, _, _), answer in zip(decided, answers, strict=True):
            if answer == commit.CONFLICT:
                conflicts.append(delivery)
            elif answer == commit.ALREADY:
                log.info("entry.already_committed", stream=delivery.source, entry=delivery.entry)
            elif isinstance(answer, Exception):
                raise answer
        return conflicts

    def skip(self, deliveries: Sequence[Delivery]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for source in {delivery.source for delivery in deliveries}:
            pipe.xack(source, self.group, *[d.entry for d in deliveries if d.source == source])
        pipe.execute()

    def set_aside(self, delivery: Delivery, reason: str, details: str) -> None:
        fields = {
            **{f"original.{name}": value for name, value in delivery.fields.items()},
            "source": delivery.source,
            "entry": delivery.entry,
            "reason": reason,
            "traceback": details,
            "attempts": str(delivery.attempt),
            "time_ms": str(now_ms()),
            "consumer": self.consumer,
        }
        dead = keys.dead_letters(self.service)
        pairs = [part for pair in fields.items() for part in pair]
        if self._scripts.run("dead", [delivery.source, dead], [self.group, delivery.entry, *pairs]):
            log.error(
                "entry.dead", stream=delivery.source, entry=delivery.entry, reason=reason, attempts=delivery.attempt
            )

    def fire_timers(self) -> int:
        """Fire timers up to the moment to which every reply has been read: after a downtime replies come first."""
        if self._timer_stream not in self._sources:
            return 0
        replies = [ms for source, ms in self._read_up_to_ms.items() if source != self._timer_stream]
        if not replies:
            return 0
        arguments = [min(replies), self._settings.batch_size, now_ms(), self.service]
        return int(self._scripts.run("due", [keys.deadlines(self.service), self._timer_stream], arguments))

    def prepare(self) -> None:
        self.create_groups()
        self._scripts.load()

    def paused(self) -> bool:
        return self._paused

    def tend(self, stopping: threading.Event) -> None:
        """Watch the operator's pause switch, in a thread of its own: the hot loop needs no round trip for it."""
        while not stopping.wait(1.0):
            try:
                self._paused = bool(self._redis.exists(keys.paused(self.service)))
            except RedisError:
                continue  # the loop itself reports and waits for the broker
