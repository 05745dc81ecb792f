"""The notices of a customer: the last fifty, in one hash that is used as a ring."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sagashop.bus import Bus
from sagashop.keys import own

SERVICE = "notifications"
KEPT = 50

COUNT = "count"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notice. `number` counts the customer's notices from 1; a reader that remembers it knows what is new."""

    number: int
    order_id: str
    event: str
    text: str
    time_ms: int


_decode = msgspec.json.Decoder(Notice).decode


def notices_key(customer_id: str) -> str:
    """Hash: notice n as JSON in field n modulo 50, and how many there ever were in `count`."""
    return own(SERVICE, "notices", customer_id)


def count_in(row: Mapping[str, str]) -> int:
    return int(row.get(COUNT, 0))


def notices_in(row: Mapping[str, str]) -> list[Notice]:
    """The kept notices, newest first."""
    notices = [_decode(text) for field, text in row.items() if field != COUNT]
    return sorted(notices, key=lambda notice: -notice.number)


def notices_of(bus: Bus, customer_id: str) -> list[Notice]:
    """The kept notices of a customer, newest first.

    Raises:
        Unavailable: Redis does not answer.
    """
    key = notices_key(customer_id)
    return notices_in(bus.load([key])[key])
