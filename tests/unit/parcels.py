"""The carrier where there is none: it answers what fulfillment asks, as if RabbitMQ and the worker had been there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from sagashop import keys
from sagashop.bus import Bus
from sagashop.effects import ClearTimer, Effects, Expect, Put, Rows, SetTimer
from sagashop.errors import Unavailable
from sagashop.handlers import Handlers
from sagashop.messages import Catalogue
from sagashop.streams import tail
from services.fulfillment.carrier_stand_in import tracking_of
from services.fulfillment.messages import WORK, BookParcel, CancelBooking, ParcelTaken


def taken(order_id: str) -> ParcelTaken:
    """The carrier's answer about this order."""
    return ParcelTaken(order_id=order_id, tracking=tracking_of(f"shp-{order_id}"))


def carrier_in_memory() -> Handlers:
    """For a world without servers: a booking is answered, unless its cancellation came first."""

    def row(message: Any) -> str:
        return f"carrier:{message.order_id}"

    handlers = Handlers(keys=lambda message: [row(message)], view=lambda message, rows: rows)

    @handlers.on(BookParcel)
    def book(message: BookParcel, rows: Rows) -> Effects:
        here = Expect(row(message), "cancelled", None)
        return (
            Effects() if rows[row(message)] else Effects(expect=[here], timers=[SetTimer(taken(message.order_id), 0)])
        )

    @handlers.on(CancelBooking)
    def cancel(message: CancelBooking, rows: Rows) -> Effects:
        return Effects(write=[Put(row(message), {"cancelled": 1})], timers=[ClearTimer(taken(message.order_id))])

    return handlers


class FakeCarrier:
    """For a real Redis: the outbox on one side, timers on the other. It forgets bookings that are cancelled."""

    def __init__(self, bus: Bus, redis: Any, delay_s: float = 0.0) -> None:
        self._bus, self._redis, self._delay_s = bus, redis, delay_s
        self._stream, self._catalogue = keys.stream("fulfillment.booking"), Catalogue(WORK)

    def step(self) -> int:
        """Answer what waits; how much that was."""
        entries = tail.read(self._redis, self._stream, "0-0")
        for entry, fields in entries:
            message: Any = self._catalogue.open(fields).message
            answer = taken(message.order_id)
            booked = isinstance(message, BookParcel)
            timer = SetTimer(answer, self._delay_s) if booked else ClearTimer(answer)
            self._bus.admit("fulfillment", Effects(timers=[timer]))
            self._redis.xdel(self._stream, entry)
        return len(entries)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Answer while the block runs, whatever happens to the connections."""
        stopping = threading.Event()

        def loop() -> None:
            while not stopping.wait(0.02):
                try:
                    self.step()
                except (RedisError, Unavailable):
                    continue

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join(5)
