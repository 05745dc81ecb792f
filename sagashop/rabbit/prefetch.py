"""Messages of one queue, fetched ahead into memory, taken and acknowledged in batches."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sagashop.errors import NotReachable
from sagashop.rabbit.connection import Connection


class Ticket(NamedTuple):
    """What acknowledges a delivery: its tag, good for one life of the channel."""

    life: int
    tag: int


class Fetched(NamedTuple):
    properties: Any
    key: str
    body: bytes
    redelivered: bool
    ticket: Ticket


class Prefetch:
    """Up to `count` unacknowledged messages of a queue. When the connection is lost they all come again."""

    def __init__(self, url: str, name: str, queue: str, count: int, *, before: Callable[[], None]) -> None:
        self._queue, self._count = queue, count
        self._connection = Connection(url, name, self._opened, lost=self._lost, before=before)
        self._channel: Any = None
        self._life = 0
        self._arrived = deque[Fetched]()
        self._some = threading.Condition()
        self._unanswered = OrderedDict[int, bool]()
        """By tag, in the order of arrival: whether it is done. Belongs to the connection's thread."""
        self.since: float | None = None
        """From when on messages could arrive, monotonic; None while there is no connection."""

    def start(self, within_s: float) -> None:
        """Raises: NotReachable when there is no connection within so many seconds."""
        self._connection.start().wait_open(within_s)

    def close(self) -> None:
        self._connection.close()

    def take(self, limit: int, wait_s: float) -> list[Fetched]:
        """What has arrived, up to `limit`, waiting for the first.

        Raises:
            NotReachable: there is no connection, and nothing more can arrive
        """
        with self._some:
            if not self._arrived:
                self._some.wait(wait_s)
            taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        if not taken and self.since is None:
            self._connection.wait_open(0)
        return taken

    def done(self, tickets: Sequence[Ticket]) -> None:
        """Acknowledge these, soon; where the connection broke they come again."""
        if tickets:
            with suppress(NotReachable):
                self._connection.call(lambda: self._acknowledge(tickets))

    def oldest(self) -> Fetched | None:
        """The one that has waited longest in memory."""
        with self._some:
            return self._arrived[0] if self._arrived else None

    @property
    def life(self) -> int:
        """Goes up whenever everything unacknowledged was given back."""
        return self._life

    # In the connection's thread

    def _opened(self, connection: Any) -> None:
        def ready(channel: Any) -> None:
            self._channel = channel
            channel.add_on_close_callback(closed)
            channel.add_on_cancel_callback(lambda _: connection.close())  # the queue is gone: declare it again
            channel.basic_qos(prefetch_count=self._count)
            channel.basic_consume(self._queue, self._on_message, callback=lambda _: self._begin())

        def closed(channel: Any, why: BaseException) -> None:
            """Whatever the broker had against it, a new connection begins with the declarations, and after a pause."""
            self._lost(why)
            if connection.is_open:
                connection.close()

        connection.channel(on_open_callback=ready)

    def _begin(self) -> None:
        self.since = time.monotonic()

    def _lost(self, why: BaseException) -> None:
        with self._some:
            self._life += 1
            self._channel, self.since = None, None
            self._arrived.clear()
            self._unanswered.clear()
            self._some.notify_all()

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        tag = method.delivery_tag
        fetched = Fetched(properties, method.routing_key, body, method.redelivered, Ticket(self._life, tag))
        self._unanswered[tag] = False
        with self._some:
            self._arrived.append(fetched)
            if len(self._arrived) == 1:
                self._some.notify()

    def _acknowledge(self, tickets: Sequence[Ticket]) -> None:
        """One acknowledgement for as long a run from the oldest on as is done, one each for the rest."""
        single = []
        for life, tag in tickets:
            if life == self._life and tag in self._unanswered:
                self._unanswered[tag] = True
                single.append(tag)
        last = 0
        while self._unanswered:
            tag, is_done = self._unanswered.popitem(last=False)
            if not is_done:
                self._unanswered[tag] = False
                self._unanswered.move_to_end(tag, last=False)
                break
            last = tag
        if last:
            self._channel.basic_ack(last, multiple=True)
        for tag in single:
            if tag > last:
                del self._unanswered[tag]
                self._channel.basic_ack(tag)
