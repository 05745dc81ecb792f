"""One consumer of a service's group on its source streams: reading, retries, takeover, commits, dead letters."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError, ResponseError

from sagashop import keys
from sagashop.bus import Delivery
from sagashop.messages import now_ms
from sagashop.streams import commit
from sagashop.streams.commit import Keys, Outlet, Scripts, compile_effects, load_rows, packed, straight
from sagashop.streams.dead_letters import letter_fields
from sagashop.streams.retention import own_channels

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
                 settings: Settings, outlet: Outlet = straight) -> None:  # fmt: skip
        self._outlet = outlet
        self.service, self.group, self.consumer = service, service, consumer or socket.gethostname()
        self._redis, self._blocking, self._settings = redis, blocking, settings
        self._scripts = Scripts(redis)
        self._timer_stream = keys.stream(f"{service}.timers")
        self._sources = [keys.stream(channel) for channel in channels] + [keys.replay(service)]
        self._addressed = {keys.stream(channel) for channel in own_channels(service)}
        self._first_time, self._paused = True, False
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
        answer: Any = self._blocking.xreadgroup(
            self.group, self.consumer, dict.fromkeys(self._sources, ">"), count=limit, block=block_ms
        )
        return [self._delivery(source, entry, fields) for source, found in answer for entry, fields in found]

    def _delivery(self, source: str, entry: str, fields: dict[str, str], attempt: int = 1) -> Delivery:
        return Delivery(source, entry, fields, attempt, addressed=source in self._addressed)

    def retries(self, limit: int) -> Iterator[Delivery]:
        """Entries whose backoff is over: own failures, and those of consumers that stopped.

        At the first call own entries come at once if they had one delivery: this consumer was down, and nobody else
        works on them. With more deliveries one may have killed us, and its backoff keeps us from dying in a loop.
        """
        first_time, self._first_time = self._first_time, False
        for source in self._sources:
            yield from itertools.islice(self._claim(source, limit, first_time), limit)

    def _claim(self, source: str, page: int, first_time: bool) -> Iterator[Delivery]:
        visible_ms = int(self._settings.visibility_s * 1000)
        for entry in self._pending(source, page, 0 if first_time else visible_ms):
            count, holder = entry["times_delivered"], entry["consumer"]
            left_behind = first_time and count == 1 and holder == self.consumer
            if not left_behind and entry["time_since_delivered"] < self._backoff_ms(count):
                continue
            idle_ms = 0 if left_behind else visible_ms
            got: Any = self._redis.xclaim(source, self.group, self.consumer, idle_ms, [entry["message_id"]])
            for entry_id, fields in got:
                if holder != self.consumer:
                    log.info("entry.taken_over", stream=source, entry=entry_id, gone=holder)
                yield self._delivery(source, entry_id, fields, count + 1)

    def _pending(self, source: str, page: int, idle_ms: int) -> Iterator[dict[str, Any]]:
        """Page by page, so that entries that wait for their backoff do not hide those behind them."""
        after = "-"
        while True:
            found: Any = self._redis.xpending_range(source, self.group, after, "+", page, idle=idle_ms or None)
            yield from found
            if len(found) < page:
                return
            after = "(" + found[-1]["message_id"]

    def _backoff_ms(self, count: int) -> float:
        """At least the visibility time; doubled with each attempt up to a minute, with a fifth of jitter."""
        doubled: float = self._settings.visibility_s * 2 ** (count - 1)
        return min(60.0, doubled) * 1000 * self._jitter.uniform(1.0, 1.2)

    def load(self, wanted: Sequence[str]) -> Rows:
        return load_rows(self._redis, wanted)

    def commit(self, decided: Sequence[tuple[Delivery, Effects, str]]) -> list[Delivery]:
        """One call for the whole batch. An entry that somebody else has committed is done: so the fence is meant."""
        if not decided:
            return []
        places, commits = Keys(), []
        for delivery, effects, trace in decided:
            source = places.place(delivery.source)
            compiled = compile_effects(effects, places, service=self.service, trace=trace, outlet=self._outlet)
            commits.append((source, delivery.entry, *compiled))
        answers = self._scripts.run("commit", list(places), [self.group, packed(commits)])
        return [d for (d, _, _), answer in zip(decided, answers, strict=True) if self._is_conflict(d, answer)]

    def _is_conflict(self, delivery: Delivery, answer: str) -> bool:
        if "NOGROUP" in answer:
            raise ResponseError(answer)
        if answer == commit.ALREADY:
            log.info("entry.already_committed", stream=delivery.source, entry=delivery.entry)
        elif reason := commit.stopped_by(answer):
            self.set_aside(delivery, reason, "")
        return answer == commit.CONFLICT

    def skip(self, deliveries: Sequence[Delivery]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for source in {delivery.source for delivery in deliveries}:
            pipe.xack(source, self.group, *[d.entry for d in deliveries if d.source == source])
        pipe.execute()

    def set_aside(self, delivery: Delivery, reason: str, details: str) -> None:
        letter = letter_fields(
            delivery.fields, source=delivery.source, entry=delivery.entry, reason=reason, details=details,
            attempts=delivery.attempt, consumer=self.consumer,
        )  # fmt: skip
        dead = keys.dead_letters(self.service)
        if self._scripts.run("dead", [delivery.source, dead], [self.group, delivery.entry, *letter]):
            log.error(
                "entry.dead", stream=delivery.source, entry=delivery.entry, reason=reason, attempts=delivery.attempt
            )

    def fire_timers(self) -> int:
        if self._timer_stream not in self._sources:
            return 0
        replies = [source for source in self._sources if source != self._timer_stream]
        arguments = [now_ms(), self._settings.batch_size, self.group, self.service]
        return int(self._scripts.run("due", [keys.deadlines(self.service), self._timer_stream, *replies], arguments))

    def prepare(self) -> None:
        self.create_groups()
        self._scripts.load()
        self.look_at_switch()

    def paused(self) -> bool:
        return self._paused

    def tend(self, stopping: threading.Event) -> None:
        """Watch the operator's pause switch, in a thread of its own: the hot loop needs no round trip for it."""
        while not stopping.wait(1.0):
            try:
                self.look_at_switch()
            except RedisError:
                continue  # the loop itself reports and waits for the broker

    def look_at_switch(self) -> None:
        """Learn whether the operator has paused the service."""
        self._paused = bool(self._redis.exists(keys.paused(self.service)))

    def close(self) -> None:
        """Nothing is held: what was read and not committed is pending."""
