"""One reader of orders.events for a whole process; it hands each event to those who watch that order.

Under gunicorn's gevent worker the threads, queues and sockets in here are greenlets; nothing in the code depends on it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict

import structlog
from msgspec import Struct
from redis import Redis
from redis.exceptions import RedisError

from sagashop import keys
from sagashop.errors import Unavailable
from sagashop.streams import tail
from services.orders import store

log = structlog.get_logger()
BLOCK_MS = 1_000
QUEUE = 100
"""Events that a watcher may lie behind. An order has about ten in its life: who is that slow is not there any more."""


class Event(Struct, frozen=True):
    """An event as it is sent on. `data` is its JSON."""

    sequence: int
    type: str
    data: str
    time_ms: int


class Watcher:
    """Events of one order, from the moment of subscription. `dropped`: it is told nothing more, and has to go."""

    def __init__(self) -> None:
        self._events: queue.Queue[Event | None] = queue.Queue(QUEUE)
        self.dropped = False

    def next(self, within_s: float) -> Event | None:
        """The next event; None where none comes in time, or it is dropped."""
        try:
            return self._events.get(timeout=max(0.0, within_s))
        except queue.Empty:
            return None

    def put(self, event: Event) -> None:
        """Take an event in. Who lies too far behind is dropped: a story with a hole is worse than none."""
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self.dropped = True

    def drop(self) -> None:
        """Say that it is over, and wake it for that."""
        self.dropped = True
        with contextlib.suppress(queue.Full):
            self._events.put_nowait(None)


class Feed:
    """The reader and its watchers. It starts with the first one, and reads without a group: nothing is acknowledged.

    limit: watchers of this process
    """

    def __init__(self, redis: Redis, blocking: Redis, limit: int) -> None:
        self._redis, self._blocking, self._limit = redis, blocking, limit
        self._stream = keys.stream("orders.events")
        self._watchers: dict[str, set[Watcher]] = defaultdict(set)
        self._count, self._running, self._closing = 0, False, False
        self._lock = threading.Lock()

    def subscribe(self, order_id: str) -> Watcher:
        """Watch an order. What is committed from now on arrives; what was before is in the order's version.

        Raises:
            Unavailable: too many are watching, or redis-ledger does not answer
        """
        watcher = Watcher()
        with self._lock:
            if self._count >= self._limit or self._closing:
                raise Unavailable("Too many event streams are open.", retry_after_s=10)
            if not self._running:
                self._start()
            self._watchers[store.aggregate(order_id)].add(watcher)
            self._count += 1
        return watcher

    def unsubscribe(self, order_id: str, watcher: Watcher) -> None:
        """Stop watching; a second time it does nothing."""
        name = store.aggregate(order_id)
        with self._lock:
            if watcher not in self._watchers.get(name, ()):
                return
            self._count -= 1
            self._watchers[name].remove(watcher)
            if not self._watchers[name]:
                del self._watchers[name]

    def close(self) -> None:
        """Let everybody go within a second or so. It only sets a flag, so that a signal handler may call it."""
        self._closing = True

    def _start(self) -> None:
        """The place is taken before the first watcher reads the order's version, so that nothing falls in between."""
        try:
            after = tail.last_id(self._redis, self._stream)
        except RedisError as error:
            raise Unavailable("redis-ledger does not answer") from error
        threading.Thread(target=self._run, args=(after,), name="orders-feed", daemon=True).start()
        self._running = True

    def _run(self, after: str) -> None:
        """Read until closed. While Redis is away the place is kept, so nothing is missed."""
        while not self._closing:
            try:
                entries = tail.read(self._blocking, self._stream, after, block_ms=BLOCK_MS)
            except (RedisError, OSError) as error:
                log.warning("feed.waits", error=str(error))
                time.sleep(0.5)
                continue
            for entry_id, fields in entries:
                after = entry_id
                self._hand_out(fields)
        with self._lock:
            for watcher in [watcher for watchers in self._watchers.values() for watcher in watchers]:
                watcher.drop()

    def _hand_out(self, fields: dict[str, str]) -> None:
        with self._lock:
            watchers = list(self._watchers.get(fields.get("aggregate", ""), ()))
        if not watchers:
            return
        try:
            event = Event(int(fields["sequence"]), fields["type"], fields["data"], int(fields["time_ms"]))
        except (KeyError, ValueError) as wrong:  # the journal sets it aside; here it must not end the reading
            log.warning("feed.malformed", error=repr(wrong))
            return
        for watcher in watchers:
            watcher.put(event)
