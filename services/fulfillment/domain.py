"""What a shelf and a reservation are. Plain values, no broker.

For every product, always: delivered = available + reserved + sold. Every movement is a transfer between two of these
numbers, so nothing appears or vanishes on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, field

from contracts.orders import Item

Status = Literal["unknown", "reserved", "rejected", "released", "shipping", "shipped", "recalled"]
"""Where an order's goods are.

unknown:  no command about this order has arrived
reserved: put aside, waiting for the order's confirmation
rejected: refused, nothing was put aside
released: back on the shelves before the pivot; or never taken, when the undo overtook its command
shipping: packed, waiting for the carrier; can still be recalled
shipped:  with the carrier, sold
recalled: back on the shelves after the pivot; or never taken, as above
"""

ENDED: frozenset[Status] = frozenset({"rejected", "released", "shipped", "recalled"})
"""No message leads out of these."""


class Shelf(Struct, frozen=True):
    """Pieces of one product. `sequence` counts the deliveries, opening included; 0: the product is not known here."""

    sku: str
    available: int = 0
    reserved: int = 0
    sold: int = 0
    delivered: int = 0
    sequence: int = 0

    @property
    def known(self) -> bool:
        return self.sequence > 0


class Reservation(Struct, frozen=True):
    """What fulfillment remembers about one order. `sequence` counts the turns it has taken; 0: none yet."""

    order_id: str
    status: Status = "unknown"
    sequence: int = 0
    items: list[Item] = field(default_factory=list)
    customer_id: str = ""
    missing: list[str] = field(default_factory=list)
    reason: str = ""
    tracking: str = ""


def merged(items: Iterable[Item]) -> list[Item]:
    """The same pieces with each product named once, in the order of first appearance."""
    totals: dict[str, int] = {}
    for item in items:
        totals[item.sku] = totals.get(item.sku, 0) + item.quantity
    return [Item(sku=sku, quantity=quantity) for sku, quantity in totals.items()]


def refusal(items: list[Item], shelves: Mapping[str, Shelf]) -> tuple[list[str], str] | None:
    """Which products stand in the way of putting these items aside, and why in words; None: nothing does."""
    senseless = sorted({item.sku for item in items if item.quantity < 1})
    if senseless or not items:
        return senseless, "an order needs at least one piece of each product"
    unknown = [item.sku for item in items if not shelves[item.sku].known]
    if unknown:
        return unknown, "not a product of ours"
    short = [item.sku for item in merged(items) if shelves[item.sku].available < item.quantity]
    return (short, "not enough on the shelf") if short else None


def shipment_id_of(order_id: str) -> str:
    """An order has one parcel, so the order names it; a repeated request gets the same parcel."""
    return f"shp-{order_id}"
