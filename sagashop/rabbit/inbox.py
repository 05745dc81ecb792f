"""One consumer of a service's queue, with the fence, the retries and the dead letters in Redis.

What never leaves the service stays on its Redis streams, read as on the other bus: timers, replayed dead letters.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import structlog
from redis.exceptions import RedisError

from sagashop import keys
from sagashop.bus import Delivery
from sagashop.messages import now_ms
from sagashop.rabbit.consumer import ATTEMPT
from sagashop.rabbit.events import GROUP, STEPS_S, bus_part, inbox_queue
from sagashop.rabbit.fence import Fence
from sagashop.rabbit.held import KEY, Held, Name, is_remote, made_ms, name_of
from sagashop.rabbit.layout import delay_queue, work_exchange
from sagashop.rabbit.prefetch import Fetched, Prefetch
from sagashop.rabbit.publisher import NotTaken, Outgoing, Publisher
from sagashop.rabbit.relay import make_group
from sagashop.rabbit.topology import declare
from sagashop.streams.commit import Outlet, Scripts, load_rows
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
CONNECT_S = 2.0
TRIES_KEEP_S = 3_600


class RabbitInbox:
    """See `sagashop.bus.Inbox`. Belongs to one thread, but for `tend`."""

    def __init__(self, service: str, handlers: Handlers, consumer: str, *, redis: Redis, blocking: Redis,
                 settings: Settings, outlet: Outlet) -> None:  # fmt: skip
        self.service, self.consumer = service, consumer
        self._redis, self._settings, self._outlet = redis, settings, outlet
        self._scripts, self._fence = Scripts(redis), Fence(service, redis, outlet)
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
        self._held: dict[Name, Held] = {}
        self._alone = deque[Held]()
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
        self._put_off_failures()
        found = self._read_local(limit)
        wait_s = 0.0 if found else min(block_ms / 1000, LOCAL_EVERY_S)
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

    def _hold(self, fetched: Fetched) -> Held | None:
        """None for a second copy of what is in our hands: it is settled together with the first."""
        held = Held(fetched, self._own)
        known = self._held.setdefault(held.name, held)
        if known is held:
            return held
        known.tickets.append(fetched.ticket)
        return None

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
            if held.name not in self._held:
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
        """Commit in one call what came from RabbitMQ, then acknowledge it there; in another what came from Redis.

        What is no longer in our hands, since its connection broke, comes again.
        """
        ours = [each for each in decided if name_of(each[0]) in self._held]
        settled, conflicts = self._fence.commit(ours, self.consumer)
        self._let_go(settled)
        return conflicts + self._local.commit([each for each in decided if not is_remote(each[0])])

    def skip(self, deliveries: Sequence[Delivery]) -> None:
        self._let_go(deliveries)
        self._local.skip([delivery for delivery in deliveries if not is_remote(delivery)])

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        held = [self._held.pop(name_of(d)) for d in deliveries if name_of(d) in self._held]
        self._queue.done([ticket for each in held for ticket in each.tickets])

    def set_aside(self, delivery: Delivery, reason: str, details: str) -> None:
        if is_remote(delivery):
            self._fence.bury(delivery, reason, details, self.consumer)
            self._let_go([delivery])
        else:
            self._local.set_aside(delivery, reason, details)

    def _put_off_failures(self) -> None:
        """Each failure waits in the delay queue of its attempt; it is acknowledged when its copy is safe there."""
        failed = [held for held in self._held.values() if held.handed_over]
        if not failed:
            return
        try:
            self._retries.publish([self._copy(held) for held in failed])
        except NotTaken as why:
            log.error("entry.kept", error=str(why))
            return
        self._let_go([held.delivery for held in failed])

    def _copy(self, held: Held) -> Outgoing:
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
            horizon = min(horizon, made_ms(waiting) - 1)
        call_keys = [keys.deadlines(self.service), keys.stream(f"{self.service}.timers"), *self._heard]
        return int(self._scripts.run("due", call_keys, [horizon, self._settings.batch_size, GROUP, self.service]))

    def tend(self, stopping: threading.Event) -> None:
        """Watch the pause switch, and keep the fence short."""
        while not stopping.wait(1.0):
            try:
                self._local.look_at_switch()
                self._fence.shorten()
            except RedisError:
                continue  # the loop itself reports and waits for the broker

    def close(self) -> None:
        """What is in our hands comes again, to whoever reads next."""
        self._queue.close()
        self._retries.close()
