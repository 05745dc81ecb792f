"""Work of a service that is not in its streams, as a house counts and checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from sagashop.audit.facts import Check, Tally
from sagashop.audit.receipts import Receipts
from sagashop.errors import NotReachable
from sagashop.rabbit.depth import ready
from sagashop.rabbit.topology import Topology

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.settings import Settings


class Elsewhere(Protocol):
    """One such place. `name` says what is counted there."""

    name: str

    def waiting(self) -> int:
        """How much is to be done, perhaps counted up to a limit only.

        Raises: NotReachable, where that cannot be told
        """

    def checks(self, house: str) -> Iterator[Check]:
        """What must hold there. A place that does not answer is an offence, not an error."""


class Queues:
    """What lies ready in a service's queues on RabbitMQ, those for pauses and for the dead included.

    What a consumer has in hand is not among it: for messages of the bus `Receipts` tells, for tasks their rows do, and
    for parcels the count of those that wait for their carrier.
    """

    name = "messages on RabbitMQ"

    def __init__(self, service: str, url: str, topology: Topology) -> None:
        queues = [queue.name for queue in topology.queues]
        self._ready: Callable[[], dict[str, int]] = lambda: ready(url, f"{service} audit", queues)

    def waiting(self) -> int:
        return sum(self._ready().values())

    def checks(self, house: str) -> Iterator[Check]:
        tally = Tally("nothing waits on RabbitMQ")
        try:
            for queue, count in self._ready().items():
                tally.saw()
                if count:
                    tally.found(f"{queue}: {count} messages")
        except NotReachable as why:
            tally.saw()
            tally.found(f"what waits there is not known: {why}")
        yield tally.check(house)


def elsewhere(service: str, settings: Settings, redis: Redis, topology: Topology) -> Sequence[Elsewhere]:
    """What every service has. The last one costs a connection, and is asked when nothing else is under way."""
    queues = Queues(service, settings.rabbitmq_url, topology)
    return [Receipts(service, redis, topology), queues] if settings.bus == "rabbitmq" else [queues]
