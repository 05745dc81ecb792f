"""A real worker in the world without servers: it decides about several messages together, and may die over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sagashop.bus import Delivery
from sagashop.effects import Effects, Rows
from sagashop.messages import Envelope
from sagashop.settings import Settings
from sagashop.worker import Worker
from tests.unit.checkout_world import Flight, World

ALONE = Settings(max_deliveries=1)
"""A handler that raises fails the test at once."""


class Died(Exception):
    """The end of a worker in the middle of its work."""


class _Inbox:
    """As `sagashop.bus.Inbox` commits: each decision for itself, and not where another worker has done the message."""

    def __init__(
        self, world: World, batch: Sequence[Flight], meanwhile: Callable[[], object], dies_after: int | None
    ) -> None:
        self._world, self._batch, self._dies_after = world, batch, dies_after
        self._happens = [meanwhile]

    def load(self, keys: Sequence[str]) -> Rows:
        return self._world.load(keys)

    def commit(self, decided: Sequence[tuple[Delivery, Effects, str]]) -> list[Delivery]:
        while self._happens:
            self._happens.pop()()
        answers = [self._is_conflict(delivery, effects) for delivery, effects, _ in decided[: self._dies_after]]
        if self._dies_after is not None:
            raise Died
        return [delivery for (delivery, _, _), conflict in zip(decided, answers, strict=True) if conflict]

    def _is_conflict(self, delivery: Delivery, effects: Effects) -> bool:
        flying, flight = self._world.flying, self._batch[int(delivery.entry)]
        place = next((number for number, each in enumerate(flying) if each is flight), None)
        if place is None:
            return False
        if not self._world.commit(delivery.source, effects):
            return True
        if self._dies_after is None:
            del flying[place]
        return False

    def set_aside(self, delivery: Delivery, reason: str, details: str) -> None:
        raise AssertionError(f"{delivery.fields['type']}: {reason}\n{details}")


def work(
    world: World,
    batch: Sequence[Flight],
    *,
    meanwhile: Callable[[], object] = lambda: None,
    dies_after: int | None = None,
) -> None:
    """One worker handles these messages of one service together.

    meanwhile:  happens between its decisions and its commits
    dies_after: it dies with so many decisions committed, and nobody knows which: every message comes again
    """
    inbox: Any = _Inbox(world, batch, meanwhile, dies_after)
    (service,) = {owner for owner, _ in batch}
    envelopes = [Envelope(message=message, id="", time_ms=0, producer="test") for _, message in batch]
    deliveries = [Delivery(service, str(number), sealed.fields()) for number, sealed in enumerate(envelopes)]
    try:
        Worker(inbox, world.services[service], ALONE).handle(deliveries)
    except Died:
        return
    assert not any(each is flight for each in world.flying for flight in batch), "decided, by this worker or another"
