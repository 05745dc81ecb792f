"""What RabbitMQ and pika can do at all: publishing with confirms in windows, and taking from many queues, with nothing
of ours in between.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pika

WINDOW = 1_000
PROPERTIES = pika.BasicProperties(delivery_mode=2)


class Sender:
    """One connection in a thread of its own that sends the same body again and again."""

    def __init__(self, url: str, exchange: str, body: bytes) -> None:
        self._exchange, self._body = exchange, body
        self._left = self._open = self._next = self._oldest = 0
        self._channel: Any = None
        self._done, self._ready = threading.Event(), threading.Event()
        self._connection = pika.SelectConnection(pika.URLParameters(url), on_open_callback=self._opened)
        self._thread = threading.Thread(target=self._connection.ioloop.start, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def send(self, count: int) -> None:
        """Return when so many are confirmed."""
        self._done.clear()
        self._connection.ioloop.add_callback_threadsafe(lambda: self._begin(count))
        if not self._done.wait(120):
            raise TimeoutError("not confirmed within 120 s")

    def close(self) -> None:
        self._connection.ioloop.add_callback_threadsafe(self._connection.close)
        self._thread.join(5)

    def _opened(self, connection: Any) -> None:
        def ready(channel: Any) -> None:
            channel.add_on_close_callback(lambda *_: connection.ioloop.stop())
            channel.confirm_delivery(self._confirmed)
            self._channel = channel
            self._ready.set()

        connection.channel(on_open_callback=ready)

    def _begin(self, count: int) -> None:
        self._left += count
        self._pump()

    def _pump(self) -> None:
        while self._left and self._next - self._oldest < WINDOW:
            self._channel.basic_publish(self._exchange, "", self._body, PROPERTIES, True)
            self._left, self._next = self._left - 1, self._next + 1

    def _confirmed(self, frame: Any) -> None:
        answer = frame.method
        self._oldest = answer.delivery_tag if answer.multiple else self._oldest + 1
        self._pump()
        if not self._left and self._oldest == self._next:
            self._done.set()


class Taker:
    """One connection in a thread of its own that takes from many queues, and acknowledges each message."""

    def __init__(self, url: str, queues: Sequence[str], prefetch: int, count: int) -> None:
        self._queues, self._prefetch, self._left, self._begun = queues, prefetch, count, 0
        self._done, self._ready = threading.Event(), threading.Event()
        self._connection = pika.SelectConnection(pika.URLParameters(url), on_open_callback=self._opened)
        self._thread = threading.Thread(target=self._connection.ioloop.start, daemon=True)
        self._thread.start()
        self._ready.wait(30)

    def wait(self) -> None:
        """Return when `count` messages are taken."""
        if not self._done.wait(120):
            raise TimeoutError(f"{self._left} messages did not come within 120 s")
        self._connection.ioloop.add_callback_threadsafe(self._connection.close)
        self._thread.join(5)

    def _opened(self, connection: Any) -> None:
        def ready(channel: Any) -> None:
            channel.add_on_close_callback(lambda *_: connection.ioloop.stop())
            channel.basic_qos(prefetch_count=self._prefetch)
            for name in self._queues:
                channel.basic_consume(name, self._take, callback=self._consuming)

        connection.channel(on_open_callback=ready)

    def _consuming(self, _: Any) -> None:
        self._begun += 1
        if self._begun == len(self._queues):
            self._ready.set()

    def _take(self, channel: Any, method: Any, _: Any, __: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        self._left -= 1
        if not self._left:
            self._done.set()
