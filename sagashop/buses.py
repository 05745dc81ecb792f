"""Which bus a service's data are of. A worker on the other one would wait for messages that never come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis import Redis

from sagashop import keys
from sagashop.errors import SagashopError


class WrongBus(SagashopError):
    """The data are of another bus than BUS says."""


def claim(redis: Redis, service: str, bus: str) -> Callable[[], None]:
    """A check for a worker's start: the first bus a service ever runs on is its own, until `make up` moves it.

    Raises (the check):
        WrongBus: the service's messages travel on the other one
    """

    def check() -> None:
        redis.set(keys.bus(service), bus, nx=True)
        own: Any = redis.get(keys.bus(service))
        if own != bus:
            raise WrongBus(
                f"BUS={bus}, but the messages of {service} travel on {own}, and would stay there.\n"
                f"  Start it with BUS={own}; `make up BUS={bus}` changes the bus when nothing is on its way."
            )

    return check
