"""One consumer of a service's queue, with the fence, the retries and the dead letters in Redis.

What never leaves the service stays on its Redis streams, read as on the other bus: timers, replayed dead letters.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from redis.exceptions import RedisError

from sagashop import keys
from sagashop.bus import Delivery
from sagashop.messages import new_id, now_ms
from sagashop.rabbit.consumer import ATTEMPT
from sagashop.rabbit.events import GROUP, STEPS_S, bus_part, inbox_queue
from sagashop.rabbit.layout import delay_queue, work_exchange
from sagashop.rabbit.prefetch import Fetched, Prefetch, Ticket
from sagashop.rabbit.publisher import NotTaken, Outgoing, Publisher
from sagashop.rabbit.relay import make_group
from sagashop.rabbit.topology import declare
from sagashop.streams import commit
from sagashop.streams.commit import Keys, Outlet, Scripts, compile_effects, load_rows
from sagashop.streams.dead_letters import letter_fields
from sagashop.streams.inbox import RedisInbox
from sagashop.streams.retention import own_channels

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.effects import Effects, Rows
    from sagashop.handlers import Handlers
    from sagashop.settings import Settings

log = structlog.get_logger()

LOCAL_EVERY_S = 0.05
ON_ITS_WAY_MS = 100
"""A message that its relay has published is here within so long; timers wait for it."""
FENCE_KEEP_MS, FENCE_KEEP = 300_000, 20_000
"""A message comes again soon or not at all: when its consumer's connection breaks, or its relay starts again."""
CONNECT_S = 2.0
TRIES_KEEP_S = 3_600

KEY = "key"
"""Our own header: the routing key, which a way through a delay queue replaces."""
REMOTE = "/"
"""Stands in every message id from RabbitMQ (`orders.events/1-0`), and in no id of a Redis stream (`1-0`)."""

_fields = msgspec.json.Decoder(dict[str, str])


class _Held:
    """A message in our hands. `alone`: it came back, or failed before; it is handled by itself."""

    def __init__(self, delivery: Delivery, fetched: Fetched) -> None:
        self.delivery, self.body, self.key = delivery, fetched.body, _key(fetched)
        self.redelivered = fetched.redelivered
        self.tickets: list[Ticket] = [fetched.ticket]
        self.handed_over = False

    @property
    def life(self) -> int:
        return self.tickets[-1].life


class RabbitInbox:
    """See `sagashop.bus.Inbox`. Belongs to one thread, but for `tend`."""

    def __init__(self, service: str, handlers: Handlers, consumer: str, *, redis: Redis, blocking: Redis,
                 settings: Settings, outlet: Outlet) -> None:  # fmt: skip
        self.service, self.consumer = service, consumer
        self._redis, self._settings, self._outlet = redis, settings, outlet
        self._scripts = Scripts(redis)
        own = set(own_channels(service))
        local = [channel for channel in handlers.channels if channel in own]
        self._local = RedisInbox(
            service, local, consumer, redis=redis, blocking=blocking, settings=settings, outlet=outlet
        )
        self._heard = [keys.stream(channel) for channel in handlers.channels if channel not in own]
        self._timers = f"{service}.timers" in local
        self._own = own
        part, url = bus_part(service, handlers.types), settings.rabbitmq_url
        self._queue = Prefetch(
            url, f"{consumer} inbox", inbox_queue(service), 2 * settings.batch_size,
            before=lambda: declare(url, f"{consumer} topology", part),
        )  # fmt: skip
        self._retries = Publisher(url, f"{consumer} retries")
        self._held: dict[tuple[str, str], _Held] = {}
        self._alone = deque[_Held]()
        self._life = 0
        self._look_at_local = 0.0
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing

    def prepare(self) -> None:
        """After a broker was away: what was in our hands is handled again, each by itself, and counts for nothing."""
        self._local.prepare()
        self._scripts.load()
        for stream in self._heard:
            make_group(self._redis, stream)  # timers look at it; its relay may not have started yet
        self._queue.start(CONNECT_S)
        for held in self._held.values():
            if held.handed_over:
                held.handed_over = False
                self._alone.append(held)

    def paused(self) -> bool:
        return self._local.paused()

    def read(self, limit: int, block_ms: int) -> list[Delivery]:
        """New messages. What was handed over before and is not settled by now has failed, and is tried again later."""
        self._forget_what_comes_again()
        self._send_failures_round()
        found = self._read_local(limit)
        wait_s = 0.0 if found or self._alone else min(block_ms / 1000, LOCAL_EVERY_S)
        for fetched in self._queue.take(limit, wait_s):
            held = self._hold(fetched)
            if held is None:
                continue
            if held.redelivered or held.delivery.attempt > 1:
                self._alone.append(held)
            else:
                held.handed_over = True
                found.append(held.delivery)
        return found

    def _read_local(self, limit: int) -> list[Delivery]:
        if time.monotonic() < self._look_at_local:
            return []
        self._look_at_local = time.monotonic() + LOCAL_EVERY_S
        return self._local.read(limit, 1)

    def _hold(self, fetched: Fetched) -> _Held | None:
        """None for a second copy of what is in our hands: it is settled together with the first."""
        delivery = _delivery(fetched, self._own)
        known = self._held.get(_name(delivery))
        if known is not None:
            known.tickets.append(fetched.ticket)
            return None
        held = self._held[_name(delivery)] = _Held(delivery, fetched)
        return held

    def _forget_what_comes_again(self) -> None:
        """The connection broke: the broker hands everything out again that it has no acknowledgement of."""
        if self._life != self._queue.life:
            self._life = self._queue.life
            self._held = {name: held for name, held in self._held.items() if held.life == self._life}
            self._alone = deque(held for held in self._alone if held.life == self._life)

    def retries(self, limit: int) -> Iterator[Delivery]:
        yield from self._local.retries(limit)
        for _ in range(min(limit, len(self._alone))):
            if not self._alone:
                return
            held = self._alone.popleft()
            if _name(held.delivery) not in self._held:
                continue
            held.handed_over = True  # first, so that an error of Redis here leaves it to `prepare`
            if held.redelivered:
                tries = self._count(held.delivery)
                held.delivery = msgspec.structs.replace(held.delivery, attempt=held.delivery.attempt + tries)
                held.redelivered = False
            yield held.delivery

    def _count(self, delivery: Delivery) -> int:
        """The broker counts all that a dead worker had in its hands; here only what a worker was at."""
        key = keys.tries(self.service)
        pipe = self._redis.pipeline(transaction=False)
        pipe.hincrby(key, delivery.entry, 1)
        pipe.expire(key, TRIES_KEEP_S)
        return int(pipe.execute()[0])

    def load(self, wanted: Sequence[str]) -> Rows:
        return load_rows(self._redis, wanted)

    def commit(self, decided: Sequence[tuple[Delivery, Effects, str]]) -> list[Delivery]:
        """Commit in one call what came from RabbitMQ, then acknowledge it there; in another what came from Redis."""
        ours = [each for each in decided if _name(each[0]) in self._held]
        local = [each for each in decided if _name(each[0]) not in self._held and not self._is_remote(each[0])]
        return self._commit(ours) + self._local.commit(local)

    def _is_remote(self, delivery: Delivery) -> bool:
        """It was ours until its connection broke; it comes again."""
        return REMOTE in delivery.entry

    def _commit(self, decided: Sequence[tuple[Delivery, Effects, str]]) -> list[Delivery]:
        if not decided:
            return []
        places = Keys()
        words: list[str | int] = [places.place(keys.fence(self.service)), now_ms()]
        for delivery, effects, trace in decided:
            compiled = compile_effects(effects, places, service=self.service, trace=trace, outlet=self._outlet)
            words += (len(compiled) + 1, delivery.entry, *compiled)
        answers = self._scripts.run("fenced", list(places), words)
        conflicts, settled = [], []
        for (delivery, _, _), answer in zip(decided, answers, strict=True):
            if answer == commit.CONFLICT:
                conflicts.append(delivery)
            elif answer.startswith("ERROR"):  # it is not settled, and so is tried again
                log.error("entry.not_committed", stream=delivery.source, entry=delivery.entry, error=answer)
            else:
                settled.append(delivery)
        self.skip(settled)
        return conflicts

    def skip(self, deliveries: Sequence[Delivery]) -> None:
        held = [self._held.pop(_name(d)) for d in deliveries if _name(d) in self._held]
        self._queue.done([ticket for each in held for ticket in each.tickets])
        self._local.skip([d for d in deliveries if not self._is_remote(d)])

    def set_aside(self, delivery: Delivery, reason: str, details: str) -> None:
        if not self._is_remote(delivery):
            self._local.set_aside(delivery, reason, details)
            return
        letter = letter_fields(
            delivery.fields, source=delivery.source, entry=delivery.entry, reason=reason, details=details,
            attempts=delivery.attempt, consumer=self.consumer,
        )  # fmt: skip
        call_keys = [keys.fence(self.service), keys.dead_letters(self.service)]
        if self._scripts.run("buried", call_keys, [now_ms(), delivery.entry, *letter]):
            log.error(
                "entry.dead", stream=delivery.source, entry=delivery.entry, reason=reason, attempts=delivery.attempt
            )
        self.skip([delivery])

    def _send_failures_round(self) -> None:
        """Each failure waits in the delay queue of its attempt; it is acknowledged when its copy is safe there."""
        failed = [held for held in self._held.values() if held.handed_over]
        if not failed:
            return
        try:
            self._retries.publish([self._copy(held) for held in failed])
        except NotTaken as why:
            log.error("entry.kept", error=str(why))
            return
        self.skip([held.delivery for held in failed])

    def _copy(self, held: _Held) -> Outgoing:
        attempt = held.delivery.attempt
        step_s = STEPS_S[min(attempt, len(STEPS_S)) - 1]
        backoff_s: float = self._settings.visibility_s * 2 ** (attempt - 1) * self._jitter.uniform(1.0, 1.2)
        queue = delay_queue(inbox_queue(self.service), step_s)
        return Outgoing(
            work_exchange(self.service), queue, held.body, id=held.delivery.entry,
            headers={ATTEMPT: attempt + 1, KEY: held.key}, ttl_ms=int(min(step_s, backoff_s) * 1000),
        )  # fmt: skip

    def fire_timers(self) -> int:
        """Timers wait for replies that came before their deadline: in our hands, on their way, not yet relayed."""
        since = self._queue.since
        if not self._timers or since is None or time.monotonic() - since < ON_ITS_WAY_MS / 1000:
            return 0
        horizon = now_ms() - ON_ITS_WAY_MS
        waiting = self._queue.oldest()
        if waiting is not None:
            horizon = min(horizon, _made_ms(waiting.properties.message_id) - 1)
        call_keys = [keys.deadlines(self.service), keys.stream(f"{self.service}.timers"), *self._heard]
        return int(self._scripts.run("due", call_keys, [horizon, self._settings.batch_size, GROUP, self.service]))

    def tend(self, stopping: threading.Event) -> None:
        """Watch the pause switch, and keep the fence short."""
        while not stopping.wait(1.0):
            try:
                self._local.look_at_switch()
                self._shorten_fence()
            except RedisError:
                continue  # the loop itself reports and waits for the broker

    def _shorten_fence(self) -> None:
        fence = keys.fence(self.service)
        beyond = int(self._redis.zcard(fence)) - FENCE_KEEP
        if beyond > 0:
            newest: Any = self._redis.zrange(fence, beyond - 1, beyond - 1, withscores=True)
            until = min(newest[0][1], now_ms() - FENCE_KEEP_MS)
            self._redis.zremrangebyscore(fence, "-inf", until)

    def close(self) -> None:
        """What is in our hands comes again, to whoever reads next."""
        self._queue.close()
        self._retries.close()


def _delivery(fetched: Fetched, own: set[str]) -> Delivery:
    channel = ".".join(_key(fetched).split(".")[:2])
    attempt = (fetched.properties.headers or {}).get(ATTEMPT, 1)
    return Delivery(
        source=keys.stream(channel),
        entry=fetched.properties.message_id or f"?{REMOTE}{new_id()}",
        fields=unpacked(fetched.body),
        attempt=attempt if isinstance(attempt, int) else 1,
        addressed=channel in own,
    )


def _key(fetched: Fetched) -> str:
    return str((fetched.properties.headers or {}).get(KEY, fetched.key))


def unpacked(body: bytes) -> dict[str, str]:
    """The fields of the entry it was; what is none of ours becomes a dead letter, whole."""
    try:
        return _fields.decode(body)
    except msgspec.DecodeError:
        pass
    try:
        found = json.loads(body)
    except ValueError:
        found = body.decode(errors="backslashreplace")
    return {name: str(text) for name, text in found.items()} if isinstance(found, dict) else {"data": str(found)}


def _name(delivery: Delivery) -> tuple[str, str]:
    return delivery.source, delivery.entry


def _made_ms(message_id: str | None) -> int:
    """When its entry was made; what has no such id holds up no timer."""
    made = (message_id or "").rpartition(REMOTE)[2].partition("-")[0]
    return int(made) if made.isdecimal() else now_ms()
