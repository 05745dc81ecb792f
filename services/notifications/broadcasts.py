"""The operator's messages to every phone: numbered, kept to be fetched, and put into the outbox, in one commit."""

from __future__ import annotations

import msgspec

from sagashop.bus import Bus
from sagashop.effects import Command, Effects, Expect, Put
from sagashop.messages import encode, now_ms
from services.notifications import store
from services.notifications.messages import TellAll
from services.notifications.store import COUNT, KEPT_BROADCASTS, Broadcast
from services.notifications.until import load, until_it_holds

_read_broadcast = msgspec.json.Decoder(Broadcast).decode


class Broadcasts:
    """The operator's messages to every phone; the last 100 are kept to be fetched."""

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
            ring = Put(store.broadcasts_key(), {str(made.number % KEPT_BROADCASTS): encode(made)})
            effects = Effects(
                emit=[Command(TellAll(broadcast=made), id=f"broadcast.{made.number}")],
                write=[Put(count, {COUNT: made.number}), ring],
                expect=[Expect(count, COUNT, had or None)],
            )
            return effects, made

        return until_it_holds(self._bus, decide)

    def after(self, number: int) -> list[Broadcast]:
        """The kept ones that are newer than this number, newest first."""
        (ring,) = load(self._bus, [store.broadcasts_key()])
        kept = sorted(map(_read_broadcast, ring.values()), key=lambda each: -each.number)
        return [each for each in kept if each.number > number]
