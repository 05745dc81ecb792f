"""What the user of a service on RabbitMQ may do, as the regular expressions that RabbitMQ takes.

The deployment makes them of its table (deploy/walls.py), which holds; a service makes them of what it declares, to show
them. A test sees to it that both come to the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from sagashop.rabbit.events import EVENTS
from sagashop.rabbit.layout import UNROUTABLE
from sagashop.rabbit.topology import Exchange, Queue, Topology


class Rights(Struct, frozen=True, kw_only=True):
    """Names of exchanges and queues that it may declare and delete (`configure`), publish to and bind (`write`), and
    take from (`read`). On the shared exchange the routing key counts, too: with which keys it `publishes` and `binds`.
    """

    configure: str
    write: str
    read: str
    publishes: str
    binds: str


def rights(service: str, *, owns: Iterable[str] = (), hears: Iterable[str], tells: Iterable[str]) -> Rights:
    """What follows from the table.

    owns:  first parts of names that are its own, beside the service's
    hears: channels of others
    tells: channels of others to which it sends commands
    """
    own = [f"{name}." for name in sorted({service, *owns})]
    published = {f"{service}.events", f"{service}.behaviour", *tells}
    return Rights(
        configure=_begins_with(own),
        write=_begins_with(own, EVENTS, UNROUTABLE),
        read=_begins_with(own, EVENTS),
        publishes=_begins_with(f"{channel}." for channel in sorted(published)),
        binds=_begins_with(f"{channel}." for channel in sorted({f"{service}.commands", *hears})),
    )


def needed(service: str, topology: Topology) -> Rights:
    """What a service needs to declare its topology and to send what it says there that it sends."""
    items: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
    names = [each.name for each in items if not each.shared]
    keys = [each.key for each in topology.bindings if each.exchange == EVENTS]
    heard = {key.rpartition(".")[0] for key in keys}
    return rights(service, owns={name.partition(".")[0] for name in names}, hears=heard, tells=topology.tells)


def _begins_with(prefixes: Iterable[str], *exactly: str) -> str:
    patterns = [*map(re.escape, prefixes), *(f"{re.escape(name)}$" for name in exactly)]
    return f"^({'|'.join(patterns)})"
