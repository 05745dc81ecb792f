"""The gateway's way to RabbitMQ: one connection, and on it a line for each phone that is connected.

A line is a channel that consumes the phone's queue. So one phone's trouble (its queue is gone) closes its own channel
and no other, and closing it hands back what the phone has not acknowledged, in its place. Everything that touches pika
runs in the thread of the connection.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from pika.exceptions import ChannelClosedByBroker

from sagashop.errors import NotReachable, Unavailable
from sagashop.rabbit.connection import Connection
from sagashop.rabbit.topology import NOT_FOUND, Topology, declare
from sagashop.web.websocket import TRY_AGAIN
from services.notifications.mobile import EXCHANGES

log = structlog.get_logger()
WHO = "notifications gateway"
REMOVED = 4404


class Delivered(NamedTuple):
    """A message for the phone. Acknowledge it by its tag, on the line that brought it."""

    tag: int
    body: bytes
    again: bool


class Over(NamedTuple):
    """The line is over; the phone is told with this close code."""

    code: int
    reason: str


class MadeAnew:
    """The queue was not there, and is now: look whether the device is still there, too."""


class Line:
    """The queue of one phone. At most `prefetch` messages are on their way; the next comes when one is acknowledged."""

    def __init__(self, board: Switchboard, part: Topology, prefetch: int) -> None:
        self._board, self._part, self._prefetch = board, part, prefetch
        self._queue = part.queues[0].name
        self._inbox = queue.Queue[Delivered | MadeAnew | Over]()
        self._unacknowledged = set[int]()
        self._channel: Any = None
        self._made_anew = self._closing = False
        self.closed = threading.Event()

    def next(self) -> Delivered | MadeAnew | Over:
        """Wait for what comes next. Bounded, since a line that breaks says so, and so does who hangs up."""
        return self._inbox.get()

    def open(self) -> None:
        """Begin to consume, soon.

        Raises:
            NotReachable: RabbitMQ is away
            Unavailable:  too many lines are open
        """
        self._board.connect(self)

    def acknowledge(self, tag: int) -> None:
        """Tell RabbitMQ that the phone has it. A tag that is not on its way, or has been acknowledged, changes nothing.

        Raises:
            NotReachable: the connection is lost, and the message comes again
        """
        self._board.soon(lambda: self._acknowledge(tag))

    def remove(self) -> None:
        """Delete the queue: its device was removed while it was made anew. What consumes it is told."""
        with suppress(NotReachable):
            self._board.soon(lambda: self._channel.is_open and self._channel.queue_delete(self._queue, callback=_done))

    def end(self, code: int, reason: str) -> None:
        """Hang up: nothing more comes but this, and what is not acknowledged goes back to the queue."""
        self._inbox.put(Over(code, reason))
        self._board.disconnect(self)

    # In the connection's thread

    def begin(self, connection: Any) -> None:
        if self._closing or not connection.is_open:
            self.closed.set()
        else:
            connection.channel(on_open_callback=self._ready)

    def finish(self) -> None:
        self._closing = True
        if self._channel is None:
            self.closed.set()
        elif self._channel.is_open:
            self._channel.close()

    def broken(self) -> None:
        """The connection is gone, and with it everything that was on its way."""
        self.closed.set()
        self._inbox.put(Over(TRY_AGAIN, "RabbitMQ is away"))

    def _ready(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_closed)
        channel.add_on_cancel_callback(lambda _: self._inbox.put(Over(REMOVED, "this device was removed")))
        if self._closing:
            channel.close()
            return
        if self._made_anew:
            _declare_on(channel, self._part)
            self._inbox.put(MadeAnew())
        channel.basic_qos(prefetch_count=self._prefetch)
        channel.basic_consume(self._queue, self._on_message)

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._unacknowledged.add(method.delivery_tag)
        self._inbox.put(Delivered(method.delivery_tag, body, method.redelivered))

    def _acknowledge(self, tag: int) -> None:
        if tag in self._unacknowledged and self._channel.is_open:
            self._unacknowledged.discard(tag)
            self._channel.basic_ack(tag)

    def _on_closed(self, channel: Any, why: BaseException) -> None:
        """A queue that is not there is made: the relay has not come to it yet, or nobody had used it for too long."""
        gone = isinstance(why, ChannelClosedByBroker) and why.reply_code == NOT_FOUND
        if gone and not self._closing and not self._made_anew and channel.connection.is_open:
            self._made_anew = True
            self.begin(channel.connection)
            return
        self.closed.set()
        if not self._closing:
            log.warning("line.broken", queue=self._queue, error=str(why))
            self._inbox.put(Over(TRY_AGAIN, "try again"))


def _declare_on(channel: Any, part: Topology) -> None:
    """Commands of a channel are carried out one after the other, so nothing waits here."""
    for each in part.queues:
        channel.queue_declare(each.name, durable=True, arguments=each.arguments, callback=_done)
    for binding in part.bindings:
        channel.queue_bind(binding.queue, binding.exchange, binding.key, callback=_done)


def _done(_: Any) -> None:
    """An answer that nobody waits for."""


class Switchboard:
    """The one connection. Lines end when it is lost, and phones come again; it comes back by itself."""

    def __init__(self, url: str, limit: int) -> None:
        self._connection = Connection(url, WHO, self._opened, lost=self._lost,
                                      before=lambda: declare(url, WHO, EXCHANGES))  # fmt: skip
        self._limit, self._lines = limit, set[Line]()
        self._pika: Any = None
        self._started = False  # under gevent a thread that lives may say that it does not
        self._todo, self._called = deque[Callable[[], None]](), False

    def __len__(self) -> int:
        return len(self._lines)

    def ready(self, within_s: float = 1.0) -> None:
        """Connect, the first time.

        Raises:
            NotReachable: there is no connection within so many seconds
        """
        if not self._started:
            self._started = True
            self._connection.start()
        self._connection.wait_open(within_s)

    def connect(self, line: Line) -> None:
        """Open a line. Raises as `Line.open`."""
        if len(self._lines) >= self._limit:
            raise Unavailable("Too many phones are connected here.", retry_after_s=10)
        self.ready()
        self._lines.add(line)
        try:
            self.soon(lambda: line.begin(self._pika))
        except NotReachable:
            self._lines.discard(line)
            raise

    def disconnect(self, line: Line) -> None:
        """Close a line; it says so in `closed`. Without a connection it is closed already."""
        self._lines.discard(line)
        try:
            self.soon(line.finish)
        except NotReachable:
            line.closed.set()

    def soon(self, work: Callable[[], None]) -> None:
        """Let the connection's thread do this. It is woken once for all that gathers meanwhile.

        Raises:
            NotReachable: there is no connection; what was handed over just before it was lost is forgotten
        """
        self._todo.append(work)
        if not self._called:
            self._called = True
            try:
                self._connection.call(self._work)
            except NotReachable:
                self._called = False
                raise

    def close(self) -> None:
        self._connection.close()

    def _work(self) -> None:
        self._called = False
        while self._todo:
            self._todo.popleft()()

    def _opened(self, connection: Any) -> None:
        self._pika = connection
        self._todo.clear()  # it belonged to the connection before
        self._called = False

    def _lost(self, why: BaseException) -> None:
        lines, self._lines = self._lines, set()
        for line in lines:
            line.broken()
