"""The operator's messages to every phone: numbered, kept to be fetched, and put into the outbox, in one commit."""

from __future__ import annotations

import msgspec

from sagashop.bus import Bus
from sagashop.effects import Command, Effects, Expect, Put
from sagashop.messages import encode, now_ms
from services.notifications import ring, store
from services.notifications.messages import TellAll
from services.notifications.store import COUNT, Broadcast
from services.notifications.until import load, until_it_holds

PAGE = 100
"""Broadcasts in one answer."""
_read_broadcast = msgspec.json.Decoder(Broadcast).decode


class Broadcasts:
    """The operator's messages to every phone; the last thousand are kept to be fetched."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def send(self, text: str) -> Broadcast:
        """Number a broadcast and put it into the outbox.

        Raises:
            Unavailable: memory is nearly full, or redis-ledger does not answer
        """
        when = now_ms()

        def decide() -> tuple[Effects, Broadcast]:
            count = store.broadcast_count_key()
            had = int(load(self._bus, [count])[0].get(COUNT, 0))
            made = Broadcast(number=had + 1, text=text, time_ms=when)
            effects = Effects(
                emit=[Command(TellAll(broadcast=made), id=f"broadcast.{made.number}")],
                write=[
                    Put(count, {COUNT: made.number}),
                    Put(store.broadcasts_key(), {ring.slot(made.number): encode(made)}),
                ],
                expect=[Expect(count, COUNT, had or None)],
            )
            return effects, made

        return until_it_holds(self._bus, decide)

    def page(self, after: int | None) -> list[Broadcast]:
        """Some of the kept ones, newest first: the newest, or the first after a number."""
        (count,) = load(self._bus, [store.broadcast_count_key()])
        numbers = ring.page(int(count.get(COUNT, 0)), after, PAGE)
        return ring.read(self._bus, store.broadcasts_key(), numbers, _read_broadcast)
