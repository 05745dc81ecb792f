"""Exchanges, queues and bindings as data, and the one function that declares them.

    PARTS = Topology(
        exchanges=(Exchange("mobile.broadcast", "fanout"),),
        queues=(Queue("notifications.inbox"),),
        bindings=(Binding("notifications.inbox", "sagashop.events", "orders.events.OrderPlaced"),),
    )

Declaring what is there already changes nothing, so every process declares its service's part when it connects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from sagashop.errors import SagashopError

AT_ONCE, WORTH_A_CONNECTION = 8, 10
PRECONDITION_FAILED, NOT_FOUND, ACCESS_REFUSED = 406, 404, 403
_difference = re.compile(
    r"inequivalent arg '(.+?)' for (exchange|queue) '(.+?)' .*?received (.+?) but current is (.+)$"
)


class Mismatch(SagashopError):
    """The broker has something else under a name, or does not let us declare it. The text says what to do."""


@dataclass(frozen=True)
class Exchange:
    """A durable exchange.

    alternate: the exchange that gets what no binding takes
    shared:    made by the definitions of the deployment, not by a service; a service only checks that it is there
    """

    name: str
    kind: Literal["direct", "fanout", "topic"]
    alternate: str = ""
    shared: bool = False

    @property
    def arguments(self) -> dict[str, str]:
        return {"alternate-exchange": self.alternate} if self.alternate else {}


@dataclass(frozen=True)
class Queue:
    """A durable queue.

    kind:           `quorum` for work that must not be lost; `classic` where there are thousands of them, in version 2,
                    which RabbitMQ 3 has beside an older one: confirms of a message to many queues come in a quarter of
                    the time
    dead_letter_to: exchange that gets what is rejected, expires or came back too often
    dead_letter_key: its routing key there; empty: the message's own
    message_ttl_ms: a message waits no longer than this
    max_length:     messages; beyond it publishing is refused (quorum), or the oldest are dropped (classic)
    delivery_limit: quorum only: how often a message may come back; told always, since RabbitMQ 4 has a default of 20
    shared:         made by the definitions of the deployment, as a shared exchange is
    """

    name: str
    kind: Literal["quorum", "classic"] = "quorum"
    dead_letter_to: str = ""
    dead_letter_key: str = ""
    message_ttl_ms: int | None = None
    max_length: int | None = None
    delivery_limit: int = 20
    shared: bool = False

    @property
    def arguments(self) -> dict[str, str | int]:
        """As the broker takes them. Dead letters of quorum queues go at least once: they stay until the next queue has
        confirmed them, which the broker grants only to queues that refuse instead of dropping.
        """
        quorum = self.kind == "quorum"
        possible: dict[str, str | int | None] = {
            "x-queue-type": self.kind,
            "x-queue-version": None if quorum else 2,
            "x-delivery-limit": self.delivery_limit if quorum else None,
            "x-dead-letter-exchange": self.dead_letter_to or None,
            "x-dead-letter-routing-key": self.dead_letter_key or None,
            "x-dead-letter-strategy": "at-least-once" if quorum and self.dead_letter_to else None,
            "x-overflow": "reject-publish" if quorum else None,
            "x-message-ttl": self.message_ttl_ms,
            "x-max-length": self.max_length,
        }
        return {name: value for name, value in possible.items() if value is not None}


@dataclass(frozen=True)
class Policy:
    """Limits of all queues whose names the pattern finds, those that are there already included: unlike the arguments
    of a queue it can be changed. The deployment's definitions make it; a service may not.

    message_ttl_s: a message waits no longer than this
    max_length:    messages; beyond it the oldest are dropped
    expires_s:     a queue is deleted when nobody used it for so long
    """

    name: str
    pattern: str
    message_ttl_s: int
    max_length: int
    expires_s: int

    @property
    def definition(self) -> dict[str, str | int]:
        """As the broker takes it."""
        return {
            "message-ttl": self.message_ttl_s * 1000, "max-length": self.max_length, "overflow": "drop-head",
            "expires": self.expires_s * 1000,
        }  # fmt: skip


@dataclass(frozen=True)
class Binding:
    """What goes from an exchange to a queue: all (fanout), a key (direct), or a pattern (topic)."""

    queue: str
    exchange: str
    key: str = ""


@dataclass(frozen=True)
class Topology:
    """A part of the whole; parts are added with `+`, and what is in both counts once.

    tells: channels of other services to which commands are sent; nothing is declared for them
    """

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()
    tells: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()

    def __add__(self, other: Topology) -> Topology:
        return Topology(
            _once(self.exchanges + other.exchanges), _once(self.queues + other.queues),
            _once(self.bindings + other.bindings), _once(self.tells + other.tells),
            _once(self.policies + other.policies),
        )  # fmt: skip


def declare(url: str, name: str, topology: Topology) -> None:
    """Make what is missing; nothing changes where all is there.

    Raises:
        NotReachable: nobody answers
        Mismatch:     something stands there under the same name with other arguments, or may not be declared by us;
                      everything else has been declared
    """
    from sagashop.rabbit.connection import short_channel  # web processes show a topology, and load no pika for it

    with short_channel(url, name) as channel:
        wrong = list(_declare_each(channel.connection, channel, topology, url))
    if wrong:
        raise Mismatch("\n".join(wrong))


def declare_all(url: str, name: str, parts: Sequence[Topology]) -> None:
    """Declare parts that have nothing in common, over several connections where they are many: what comes at the same
    time is brought to the broker's disk together.

    Raises: as `declare`
    """
    connections = min(AT_ONCE, 1 + len(parts) // WORTH_A_CONNECTION)
    with ThreadPoolExecutor(connections) as pool:
        shares = [joined(parts[number::connections]) for number in range(connections)]
        for _ in pool.map(lambda share: declare(url, name, share), shares):
            pass


def joined(parts: Sequence[Topology]) -> Topology:
    """All of them as one. They have nothing in common, so nothing is compared, as `+` would do."""
    return Topology(
        tuple(each for part in parts for each in part.exchanges),
        tuple(each for part in parts for each in part.queues),
        tuple(each for part in parts for each in part.bindings),
        tuple(each for part in parts for each in part.tells),
        tuple(each for part in parts for each in part.policies),
    )


def _declare_each(connection: Any, channel: Any, topology: Topology, url: str) -> Iterator[str]:
    from pika.exceptions import AMQPError, ChannelClosedByBroker

    from sagashop.rabbit.connection import not_reachable

    items: list[Exchange | Queue | Binding] = [*topology.exchanges, *topology.queues, *topology.bindings]
    for item in items:
        try:
            _declare_one(channel, item)
        except ChannelClosedByBroker as refused:
            yield _explain(item, refused)
            channel = connection.channel()  # the broker closes the channel at each refusal
        except (AMQPError, OSError) as why:
            raise not_reachable(url, why) from why


def _declare_one(channel: Any, item: Exchange | Queue | Binding) -> None:
    match item:
        case Exchange(shared=True):
            channel.exchange_declare(item.name, passive=True)
        case Exchange():
            channel.exchange_declare(item.name, item.kind, durable=True, arguments=item.arguments)
        case Queue(shared=True):
            channel.queue_declare(item.name, passive=True)
        case Queue():
            channel.queue_declare(item.name, durable=True, arguments=item.arguments)
        case Binding():
            channel.queue_bind(item.queue, item.exchange, item.key)


def _explain(item: Exchange | Queue | Binding, refused: Any) -> str:
    text = str(refused.reply_text)
    name = item.name if not isinstance(item, Binding) else f"{item.exchange} to {item.queue}"
    what = type(item).__name__.lower()
    if found := _difference.search(text):
        argument, kind, _, wanted, current = found.groups()
        remedy = (
            "Let it run empty, delete it (`rabbitmqctl delete_queue`), and start again"
            if kind == "queue"
            else "Delete it while nothing publishes to it, and start again"
        )
        return (
            f"{kind} {name}: its {argument} is {_plain(current)}, and the code wants {_plain(wanted)}. RabbitMQ cannot "
            f"change that in place.\n  {remedy}; or give it a new name in the code."
        )
    if refused.reply_code == NOT_FOUND:
        return f"{what} {name}: {text}.\n  Shared exchanges come from the definitions that `make up` writes."
    if refused.reply_code == ACCESS_REFUSED:
        return f"{what} {name}: {text}.\n  deploy/walls_rabbit.py says what a service may declare."
    return f"{what} {name}: {text}"


def _plain(told: str) -> str:
    """`the value '5' of type 'signedint'` is 5."""
    found = re.search(r"'([^']*)'", told)
    return found[1] if found else told.strip()


def _once(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))
