"""A message of the bus in a worker's hands: what it says, where it comes from, what acknowledges it."""

from __future__ import annotations

import json
from collections.abc import Collection

import msgspec

from sagashop import keys
from sagashop.bus import Delivery
from sagashop.messages import new_id, now_ms
from sagashop.rabbit.consumer import ATTEMPT
from sagashop.rabbit.prefetch import Fetched, Ticket

KEY = "key"
"""Our own header: the routing key, which a way through a delay queue replaces."""
REMOTE = "/"
"""Stands in every message id from RabbitMQ (`orders.events/1-0`), and in no id of a Redis stream (`1-0`)."""
Name = tuple[str, str]

_fields = msgspec.json.Decoder(dict[str, str])


class Held:
    """Taken from RabbitMQ and not settled yet.

    handed_over: the worker has it, or has had it
    tickets:     one for each copy that came
    """

    def __init__(self, fetched: Fetched, own: Collection[str]) -> None:
        self.delivery, self.body, self.key = delivery_of(fetched, own), fetched.body, _key(fetched)
        self.redelivered, self.handed_over = fetched.redelivered, False
        self.tickets: list[Ticket] = [fetched.ticket]

    @property
    def name(self) -> Name:
        return name_of(self.delivery)

    @property
    def life(self) -> int:
        return self.tickets[-1].life


def name_of(delivery: Delivery) -> Name:
    return delivery.source, delivery.entry


def is_remote(delivery: Delivery) -> bool:
    """Whether RabbitMQ brought it; timers and replayed letters come from Redis."""
    return REMOTE in delivery.entry


def delivery_of(fetched: Fetched, own: Collection[str]) -> Delivery:
    channel = ".".join(_key(fetched).split(".")[:2])
    attempt = (fetched.properties.headers or {}).get(ATTEMPT, 1)
    return Delivery(
        source=keys.stream(channel),
        entry=fetched.properties.message_id or f"?{REMOTE}{new_id()}",
        fields=unpacked(fetched.body),
        attempt=attempt if isinstance(attempt, int) else 1,
        addressed=channel in own,
    )


def _key(fetched: Fetched) -> str:
    return str((fetched.properties.headers or {}).get(KEY, fetched.key))


def unpacked(body: bytes) -> dict[str, str]:
    """The fields of the entry it was; what is none of ours becomes a dead letter, whole."""
    try:
        return _fields.decode(body)
    except msgspec.DecodeError:
        pass
    try:
        found = json.loads(body)  # takes the escapes of foreign bytes, too
    except ValueError:
        found = body.decode(errors="backslashreplace")
    return {name: str(text) for name, text in found.items()} if isinstance(found, dict) else {"data": str(found)}


def made_ms(fetched: Fetched) -> int:
    """When its entry was made; what has no such id holds up no timer."""
    made = (fetched.properties.message_id or "").rpartition(REMOTE)[2].partition("-")[0]
    return int(made) if made.isdecimal() else now_ms()
