"""A phone's way to RabbitMQ: a channel on the gateway's one connection, which consumes the phone's queue.

So one phone's trouble (its queue is gone) closes its own channel and no other, and closing it hands back what the phone
has not acknowledged, in its place. Everything that touches pika runs in the thread of the connection.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from pika.exceptions import ChannelClosedByBroker

from sagashop.errors import NotReachable
from sagashop.rabbit.topology import NOT_FOUND, Topology
from sagashop.web.websocket import TRY_AGAIN

if TYPE_CHECKING:
    from services.notifications.switchboard import Switchboard

log = structlog.get_logger()
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
