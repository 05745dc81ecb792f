"""The bus: how services emit and handle messages without knowing the broker, Redis Streams or RabbitMQ.

A worker takes an `Inbox`, a web process an `Outlet`. Both apply `Effects` in one atomic step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from sagashop.errors import SagashopError

if TYPE_CHECKING:
    from sagashop.effects import Effects, Rows
    from sagashop.handlers import Handlers
    from sagashop.messages import Envelope
    from sagashop.settings import Settings


class GuardFailed(SagashopError):
    """A guard of the effects did not hold; nothing was applied. Load again and decide again."""


class Delivery(msgspec.Struct, frozen=True):
    """One message as the broker hands it over.

    source:    where it came from (a stream's key, a queue's name)
    entry:     its id there
    fields:    the wire fields; not yet checked
    attempt:   how often it was handed over, this time included
    addressed: nobody else reads this source, so a type that is unknown here is lost, not somebody else's
    """

    source: str
    entry: str
    fields: dict[str, str]
    attempt: int = 1
    addressed: bool = False


class Inbox(Protocol):
    """One consumer's way in. Every delivery stays with the group until it is committed, skipped or set aside.

    Delivery guarantee: at least once to the handler, exactly once in effect: `commit` acknowledges and applies at once.
    """

    def prepare(self) -> None:
        """Make the group and what else must exist; called before the first read and again after a broker was away."""

    def paused(self) -> bool:
        """Whether the operator has paused this service's workers."""

    def tend(self, stopping: threading.Event) -> None:
        """Housekeeping in a thread of its own, until the event is set."""

    def read(self, limit: int, block_ms: int) -> list[Delivery]:
        """New deliveries, waiting up to `block_ms` for the first."""

    def retries(self, limit: int) -> Iterator[Delivery]:
        """Up to `limit` deliveries of each source whose backoff is over, own ones and those of consumers that are gone.

        Each is claimed, and counted, only when it is asked for: a message that kills its worker counts for itself.
        """

    def load(self, keys: Sequence[str]) -> Rows:
        """Hashes by key, one round trip."""

    def commit(self, decided: Sequence[tuple[Delivery, Effects, str]]) -> list[Delivery]:
        """Apply (delivery, effects, trace) each atomically; those whose guards failed come back."""

    def skip(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages that mean nothing to this service."""

    def set_aside(self, delivery: Delivery, reason: str, details: str) -> None:
        """Move a delivery to the dead letters, with why and its traceback."""

    def fire_timers(self) -> int:
        """Turn due timers into messages; held back while older replies are still unread or in their first delivery."""

    def close(self) -> None:
        """Let go of the broker, at the end of the process."""


class Bus(Protocol):
    """A broker with the state beside it."""

    def inbox(self, service: str, handlers: Handlers, consumer: str) -> Inbox:
        """The way in for one consumer of a service's group. Groups are made when they are missing."""

    def admit(self, service: str, effects: Effects, trace: str = "") -> None:
        """Apply effects that start at the front door, in one atomic step.

        Raises:
            GuardFailed: a guard did not hold; nothing was applied.
            Unavailable: memory is nearly full, or the server does not answer. After a lost answer the effects may have
                been applied; the caller's own idempotency guard tells when it tries again.
        """

    def beside(self, service: str, consumer: str) -> Sequence[Callable[[threading.Event], None]]:
        """Loops that a worker of the service runs in threads of their own, until the event is set."""

    def finish(self, service: str, effects: Effects, trace: str = "") -> None:
        """As `admit`, for what finishes work that was admitted before, so also when memory is full.

        Raises:
            GuardFailed: a guard did not hold; nothing was applied.
            Unavailable: the server does not answer.
        """

    def load(self, keys: Sequence[str]) -> Rows:
        """Hashes by key, one round trip.

        Raises:
            Unavailable: the server does not answer.
        """

    def pick(self, key: str, fields: Sequence[str]) -> list[str | None]:
        """Some fields of a large hash, in their order; None where there is no such field.

        Raises:
            Unavailable: the server does not answer.
        """

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Append messages to their channels, all or none: at least once, since the caller repeats after a lost answer.

        Raises:
            Unavailable: memory is nearly full, or the server does not answer.
        """


def connect_bus(settings: Settings) -> Bus:
    """The bus that the settings name. Nothing is connected before first use."""
    if settings.bus == "rabbitmq":
        from sagashop.rabbit.bus import RabbitBus

        return RabbitBus(settings)
    from sagashop.streams.bus import RedisBus

    return RedisBus(settings)
