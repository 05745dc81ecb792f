"""Publishing that is confirmed: persistent, mandatory, and in windows, since one by one is ten times slower.

`publish` returns when the broker has taken responsibility for every message. Delivery: at least once, since a message
whose confirmation was lost with the connection is published again by the caller.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pika
from pika.exceptions import ChannelClosedByBroker

from sagashop.errors import NotReachable, SagashopError
from sagashop.messages import new_id
from sagashop.rabbit.connection import Connection, not_reachable

WINDOW = 1_000
TIMEOUT_S = 15.0
PERSISTENT = 2


class Outgoing(msgspec.Struct, frozen=True):
    """One message on its way out.

    id:      `message_id` on the wire; who receives it twice knows it by this
    headers: small and few; each costs time on both sides
    ttl_ms:  the broker drops it (or dead-letters it, as the queue says) when nobody took it for so long
    type:    the kind of message, as `type` on the wire
    must:    it is an error (`NotTaken`) when it reaches no queue; an event that nobody hears need not
    """

    exchange: str
    key: str
    body: bytes
    id: str = msgspec.field(default_factory=new_id)
    headers: Mapping[str, str | int] = {}
    ttl_ms: int | None = None
    type: str = ""
    content_type: str = "application/json"
    must: bool = True


class NotTaken(SagashopError):
    """The broker answered, and did not take these messages: `unroutable` reached no queue, `refused` found one full.

    All others of the same call were taken.
    """

    def __init__(self, unroutable: Sequence[Outgoing], refused: Sequence[Outgoing]) -> None:
        self.unroutable, self.refused = list(unroutable), list(refused)
        told = [f"{each.exchange}/{each.key} leads to no queue" for each in self.unroutable]
        told += [f"{each.exchange}/{each.key} was refused; a queue is full" for each in self.refused]
        more = f", and {len(told) - 3} more" if len(told) > 3 else ""
        super().__init__(f"RabbitMQ did not take {len(told)} messages: {'; '.join(told[:3])}{more}")


class _Batch:
    """The messages of one call, and what became of them."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.messages, self.sent, self.open = messages, 0, len(messages)
        self.unroutable, self.refused = list[Outgoing](), list[Outgoing]()
        self.lost: BaseException | None = None
        self.abandoned = False
        self.over = threading.Event()

    def settled(self) -> None:
        self.open -= 1
        if not self.open:
            self.over.set()


class Publisher:
    """Publishes on a connection of its own, which opens at the first use; safe to use from many threads.

    window: unconfirmed messages on the way at a time
    """

    def __init__(self, url: str, name: str, *, window: int = WINDOW) -> None:
        self._url, self._window = url, window
        self._connection = Connection(url, name, self._opened, lost=self._lost)
        self._channel: Any = None
        self._waiting = deque[_Batch]()
        self._unconfirmed: dict[int, tuple[_Batch, Outgoing]] = {}
        self._next_tag = self._oldest_tag = 1
        self._returned = set[tuple[str, str, str]]()

    def publish(self, messages: Sequence[Outgoing], timeout_s: float = TIMEOUT_S) -> None:
        """Return when all of these are confirmed; they go out in their order.

        Raises:
            NotTaken:     some reached no queue, or a queue refused them; the others are safe
            NotReachable: no connection, or no confirmation within `timeout_s`; any of them may have arrived
        """
        if not messages:
            return
        batch = _Batch(messages)
        self._connection.start().wait_open(timeout_s)
        self._connection.call(lambda: self._begin(batch))
        if not batch.over.wait(timeout_s):
            batch.abandoned = True
            raise not_reachable(self._url, f"{batch.open} messages not confirmed within {timeout_s:g} s")
        if batch.lost:
            raise self._explain(batch.lost)
        if batch.unroutable or batch.refused:
            raise NotTaken(batch.unroutable, batch.refused)

    def close(self) -> None:
        """What is not confirmed by now is lost to its caller, who gets NotReachable."""
        self._connection.close()

    def _explain(self, why: BaseException) -> SagashopError:
        if isinstance(why, ChannelClosedByBroker):
            return NotReachable(f"RabbitMQ closed the channel: {why.reply_text}.\n  Is that exchange declared?")
        return not_reachable(self._url, why)

    # Everything below runs in the connection's thread.

    def _opened(self, connection: Any) -> None:
        self._next_tag = self._oldest_tag = 1

        def ready(channel: Any) -> None:
            channel.add_on_return_callback(self._on_return)
            channel.add_on_close_callback(self._on_channel_closed)
            channel.confirm_delivery(self._on_answer)
            self._channel = channel
            self._pump()

        connection.channel(on_open_callback=ready)

    def _on_channel_closed(self, channel: Any, why: BaseException) -> None:
        """A wrong exchange or a missing right closes the channel: its messages fail, and a new channel is opened."""
        self._lost(why)
        if channel.connection.is_open:
            self._opened(channel.connection)

    def _lost(self, why: BaseException) -> None:
        self._channel = None
        batches = {id(batch): batch for batch in [*(b for b, _ in self._unconfirmed.values()), *self._waiting]}
        self._unconfirmed.clear()
        self._waiting.clear()
        self._returned.clear()
        for batch in batches.values():
            batch.lost = why
            batch.over.set()

    def _begin(self, batch: _Batch) -> None:
        self._waiting.append(batch)
        self._pump()

    def _pump(self) -> None:
        """Send what the window has room for."""
        while self._channel is not None and self._waiting and len(self._unconfirmed) < self._window:
            batch = self._waiting[0]
            if batch.abandoned:
                self._waiting.popleft()
                continue
            message = batch.messages[batch.sent]
            batch.sent += 1
            if batch.sent == len(batch.messages):
                self._waiting.popleft()
            self._unconfirmed[self._next_tag] = (batch, message)
            self._next_tag += 1
            self._channel.basic_publish(message.exchange, message.key, message.body, _properties(message), message.must)

    def _on_return(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """It reached no queue. The confirmation follows: the broker is done with it."""
        self._returned.add((properties.message_id, method.exchange, method.routing_key))

    def _on_answer(self, frame: Any) -> None:
        answer = frame.method
        taken = isinstance(answer, pika.spec.Basic.Ack)
        last: int = answer.delivery_tag
        first = self._oldest_tag if answer.multiple else last
        for tag in range(first, last + 1):
            found = self._unconfirmed.pop(tag, None)
            if found:
                self._settle(*found, taken)
        while self._oldest_tag < self._next_tag and self._oldest_tag not in self._unconfirmed:
            self._oldest_tag += 1
        self._pump()

    def _settle(self, batch: _Batch, message: Outgoing, taken: bool) -> None:
        if not taken:
            batch.refused.append(message)
        elif self._returned and (key := (message.id, message.exchange, message.key)) in self._returned:
            self._returned.discard(key)
            batch.unroutable.append(message)
        batch.settled()


def _properties(message: Outgoing) -> Any:
    return pika.BasicProperties(
        content_type=message.content_type,
        delivery_mode=PERSISTENT,
        message_id=message.id,
        type=message.type or None,
        headers=dict(message.headers) or None,
        expiration=None if message.ttl_ms is None else str(message.ttl_ms),
    )
