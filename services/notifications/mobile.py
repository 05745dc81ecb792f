"""Phones on RabbitMQ: the two exchanges, the queue of a device, and what a message to a phone says.

`mobile.broadcast` reaches every device, `mobile.direct` one device or all of one customer, by key. Device queues are
classic: there are thousands of them, each small, and what one drops its phone fetches over HTTP. Their limits are a
policy, so that new ones hold for the queues that are there, too.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from sagashop.rabbit.topology import Binding, Exchange, Policy, Queue, Topology
from services.notifications.settings import Limits
from services.notifications.store import Broadcast, Notice

BROADCAST, DIRECT = "mobile.broadcast", "mobile.direct"
EXCHANGES = Topology(exchanges=(Exchange(BROADCAST, "fanout"), Exchange(DIRECT, "direct")))


def device_queue(device_id: str) -> str:
    return f"mobile.device.{device_id}"


def device_policy(limits: Limits) -> Policy:
    """What bounds the queues of all devices."""
    pattern = f"^{re.escape(device_queue(''))}"
    return Policy("mobile.device", pattern, limits.message_ttl_s, limits.length, limits.expires_s)


def device_part(device_id: str, customer_id: str) -> Topology:
    """The queue of a device with its bindings."""
    name = device_queue(device_id)
    keys = [(BROADCAST, ""), (DIRECT, device_id), (DIRECT, customer_id)]
    return Topology(
        queues=(Queue(name, kind="classic"),), bindings=tuple(Binding(name, exchange, key) for exchange, key in keys)
    )


class Direct(Struct, frozen=True, kw_only=True):
    """The body of a message to one customer. `number` counts this customer's notices."""

    kind: Literal["direct"] = "direct"
    number: int
    order_id: str
    event: str
    text: str
    time_ms: int

    @classmethod
    def of(cls, notice: Notice) -> Direct:
        return cls(**{name: getattr(notice, name) for name in Notice.__struct_fields__})


class ToAll(Struct, frozen=True, kw_only=True):
    """The body of a message to everybody. `number` counts all broadcasts."""

    kind: Literal["broadcast"] = "broadcast"
    number: int
    text: str
    time_ms: int

    @classmethod
    def of(cls, broadcast: Broadcast) -> ToAll:
        return cls(number=broadcast.number, text=broadcast.text, time_ms=broadcast.time_ms)
