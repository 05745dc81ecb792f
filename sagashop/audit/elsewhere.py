"""Work of a service that is not in its streams, as a house counts and checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from sagashop.audit.facts import Check, Tally
from sagashop.audit.receipts import Receipts
from sagashop.errors import NotReachable
from sagashop.rabbit.depth import ready
from sagashop.rabbit.layout import UNROUTABLE
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
        yield _empty(house, "nothing waits on RabbitMQ", "what waits there", self._ready)


class Unroutable:
    """What was sent with a key that nobody has bound. One house looks for all of them, since the queue is shared; it
    asks for the count alone, which needs no right to read.
    """

    name = "unroutable messages on RabbitMQ"

    def __init__(self, service: str, url: str) -> None:
        self._ready: Callable[[], dict[str, int]] = lambda: ready(url, f"{service} audit", [UNROUTABLE])

    def waiting(self) -> int:
        """It is a mistake, not work: waiting for it is no use."""
        return 0

    def checks(self, house: str) -> Iterator[Check]:
        yield _empty(house, "RabbitMQ: nothing is unroutable", "what lies there", self._ready)


def _empty(house: str, name: str, what: str, counted: Callable[[], dict[str, int]]) -> Check:
    """Nothing may lie in these queues."""
    tally = Tally(name)
    try:
        for queue, count in counted().items():
            tally.saw()
            if count:
                tally.found(f"{queue}: {count} messages")
    except NotReachable as why:
        tally.saw()
        tally.found(f"{what} is not known: {why}")
    return tally.check(house)


def elsewhere(service: str, settings: Settings, redis: Redis, topology: Topology) -> Sequence[Elsewhere]:
    """What every service has. The last one costs a connection, and is asked when nothing else is under way."""
    queues = Queues(service, settings.rabbitmq_url, topology)
    return [Receipts(service, redis, topology), queues] if settings.bus == "rabbitmq" else [queues]
