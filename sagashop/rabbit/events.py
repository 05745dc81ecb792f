"""The shared topic exchange: who hears what.

A message's routing key is its channel and its type, `orders.events.OrderPlaced`. A service joins by binding its queue;
nothing changes elsewhere. Its own commands come whatever their type, so that an unknown one becomes a dead letter; of
what others tell the world it gets the types it handles.
"""

from __future__ import annotations

from collections.abc import Iterable

from sagashop.messages import Message
from sagashop.rabbit.layout import work_queue
from sagashop.rabbit.topology import Binding, Exchange, Topology

EVENTS = "sagashop.events"
GROUP = "relay"
"""The group by which a service's relay reads the service's own streams."""
CHANNEL = "channel"
"""The field that tells where an entry of the stream `<service>.out` goes."""
INBOX = "inbox"
STEPS_S = (5, 10, 20, 40)
"""Pauses between the attempts at a message of the bus, seconds; VISIBILITY_S may shorten them."""
DELIVERY_LIMIT = 100
"""Far above MAX_DELIVERIES, since the broker counts a whole batch when a worker dies: the worker counts each by itself,
and this is the net below it."""


def exchanges() -> Topology:
    """The shared one, made by the deployment's definitions. An event that nobody hears is dropped, so no alternate."""
    return Topology(exchanges=(Exchange(EVENTS, "topic", shared=True),))


def inbox_queue(service: str) -> str:
    """The queue from which the workers of a service take their messages."""
    return f"{service}.{INBOX}"


def routing_key(channel: str, kind: str) -> str:
    """`kind` may be anything that somebody wrote into a stream; a key has at most 255 bytes."""
    return f"{channel}.{kind}".encode()[:255].decode(errors="ignore")


def bus_part(service: str, types: Iterable[type[Message]], *, tells: Iterable[type[Message]] = ()) -> Topology:
    """The queue of a service on the bus, bound to what it handles. Its timers and replays never leave Redis.

    tells: the commands that it sends
    """
    queue = inbox_queue(service)
    heard = [each for each in types if not each.channel.startswith(f"{service}.")]
    own = {each.channel for each in types} & {f"{service}.commands"}
    keys = [*(f"{channel}.#" for channel in own), *sorted({f"{t.channel}.{t.__name__}" for t in heard})]
    return (
        exchanges()
        + work_queue(service, INBOX, steps_s=STEPS_S, delivery_limit=DELIVERY_LIMIT)
        + Topology(
            bindings=tuple(Binding(queue, EVENTS, key) for key in keys), tells=tuple(sorted({t.channel for t in tells}))
        )
    )
