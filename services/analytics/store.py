"""Analytics' keys, and the summary read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from sagashop.bus import Bus
from sagashop.keys import own

SERVICE = "analytics"

Outcome = Literal["placed", "confirmed", "completed", "rejected", "cancelled", "refunded"]

TOTALS = own(SERVICE, "totals")
"""Hash: orders by outcome, and `revenue_cents`."""
SOLD = own(SERVICE, "sold")
"""Hash: confirmed pieces by SKU."""
NAMES = own(SERVICE, "names")
"""Hash: the name a product was last ordered under, by SKU."""

MINUTE_MS = 60_000
MINUTES_SHOWN = 60
TOP = 10
KEEP_MINUTE_S = 2 * 3600
KEEP_COUNTED_S = 24 * 3600

Row = Mapping[str, str]


class Totals(Struct, frozen=True, kw_only=True):
    """Orders that ever came to this point. An order counts at each point it passes: one refunded was confirmed, too."""

    placed: int = 0
    confirmed: int = 0
    completed: int = 0
    rejected: int = 0
    cancelled: int = 0
    refunded: int = 0


class Minute(Struct, frozen=True, kw_only=True):
    """One minute by the time of the events. `revenue_cents` is confirmed minus refunded, so it may be negative."""

    start_ms: int
    orders: int
    revenue_cents: int


class Seller(Struct, frozen=True, kw_only=True):
    sku: str
    name: str
    quantity: int


class Summary(Struct, frozen=True, kw_only=True):
    """`revenue_cents`: confirmed minus refunded, since counting began. `minutes`: the last hour, oldest first."""

    orders: Totals
    revenue_cents: int
    minutes: list[Minute]
    top_products: list[Seller]


def minute_key(minute: int) -> str:
    """Hash of one minute, counted from 1970: `orders`, `revenue_cents`."""
    return own(SERVICE, "minute", str(minute))


def counted_key(order_id: str) -> str:
    """Hash of one order: a field for each outcome that is already counted."""
    return own(SERVICE, "counted", order_id)


def summary(bus: Bus, now_ms: int) -> Summary:
    """The counts as they stand, in one round trip.

    Raises:
        Unavailable: Redis does not answer.
    """
    last = now_ms // MINUTE_MS
    shown = range(last - MINUTES_SHOWN + 1, last + 1)
    rows = bus.load([TOTALS, SOLD, NAMES, *map(minute_key, shown)])
    totals = rows[TOTALS]
    return Summary(
        orders=Totals(**{name: _number(totals, name) for name in Totals.__struct_fields__}),
        revenue_cents=_number(totals, "revenue_cents"),
        minutes=[_minute(minute, rows[minute_key(minute)]) for minute in shown],
        top_products=_top(rows[SOLD], rows[NAMES]),
    )


def _minute(minute: int, row: Row) -> Minute:
    return Minute(
        start_ms=minute * MINUTE_MS, orders=_number(row, "orders"), revenue_cents=_number(row, "revenue_cents")
    )


def _top(sold: Row, names: Row) -> list[Seller]:
    best = sorted(sold, key=lambda sku: (-int(sold[sku]), sku))[:TOP]
    return [Seller(sku=sku, name=names.get(sku, sku), quantity=int(sold[sku])) for sku in best]


def _number(row: Row, name: str) -> int:
    return int(row.get(name, 0))
