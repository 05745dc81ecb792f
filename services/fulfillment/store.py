"""Fulfillment's keys, its rows as domain values, and the writes that change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, cast

import msgspec

from contracts.fulfillment import StockAdjusted
from contracts.orders import Item
from sagashop.effects import Add, Below, Effects, Expect, Guard, Put, Recorded
from sagashop.keys import own
from sagashop.messages import Message
from services.fulfillment.domain import ENDED, Reservation, Shelf, Status, merged

SERVICE = "fulfillment"

KEEP_ENDED_S = 30 * 24 * 3600
"""An ended reservation answers repeated commands this long; the journal keeps it for good."""

CATALOGUE = own(SERVICE, "skus")
"""Hash with one field for every product that has a shelf."""

PARCELS = own(SERVICE, "parcels")
"""Hash; its field `waiting` counts the parcels that the carrier has not taken yet."""

Row = Mapping[str, str]

_items = msgspec.json.Decoder(list[Item])
_names = msgspec.json.Decoder(list[str])


def shelf_key(sku: str) -> str:
    return own(SERVICE, "shelf", sku)


def reservation_key(order_id: str) -> str:
    return own(SERVICE, "reservation", order_id)


def restock_key(restock_id: str) -> str:
    return own(SERVICE, "restock", restock_id)


def as_json(values: list[Item] | list[str]) -> str:
    """A list as it stands in a field of a row."""
    return msgspec.json.encode(values).decode()


def shelf_from(sku: str, row: Row) -> Shelf:
    names = ("available", "reserved", "sold", "delivered", "sequence")
    return Shelf(sku, **{name: int(row.get(name, 0)) for name in names})


def reservation_from(order_id: str, row: Row) -> Reservation:
    return Reservation(
        order_id,
        status=cast(Status, row.get("status", "unknown")),
        sequence=int(row.get("sequence", 0)),
        items=_items.decode(row.get("items", "[]")),
        customer_id=row.get("customer_id", ""),
        missing=_names.decode(row.get("missing", "[]")),
        reason=row.get("reason", ""),
        tracking=row.get("tracking", ""),
    )


def unchanged(seen: Reservation | Shelf) -> Expect:
    """The guard that nobody has taken a turn since this was read."""
    key = shelf_key(seen.sku) if isinstance(seen, Shelf) else reservation_key(seen.order_id)
    return Expect(key, "sequence", seen.sequence or None)


def still_missing(items: Iterable[Item], shelves: Mapping[str, Shelf]) -> list[Guard]:
    """The guards a refusal rests on: each product that is unknown or short must be so still."""
    guards: list[Guard] = []
    for item in merged(items):
        shelf = shelves[item.sku]
        if not shelf.known:
            guards.append(unchanged(shelf))
        elif shelf.available < item.quantity:
            guards.append(Below(shelf_key(item.sku), "available", item.quantity))
    return guards


def turn(reservation: Reservation, status: Status, event: Message, **fields: str) -> Effects:
    """Take the reservation to its next status and record the event. `unchanged` guards it."""
    key, sequence = reservation_key(reservation.order_id), reservation.sequence + 1
    row = Put(key, {"status": status, "sequence": sequence, **fields}, ttl_s=KEEP_ENDED_S if status in ENDED else None)
    return Effects(emit=[Recorded(event, f"reservation:{reservation.order_id}", sequence)], write=[row])


def transfer(items: Iterable[Item], out_of: Literal["available", "reserved"], into: str) -> Effects:
    """Move pieces between two numbers of their shelves, so that the sum stays.

    Increments, without a version: many orders change a popular shelf at once. Only taking what is available needs a
    floor; what is reserved belongs to the one order whose reservation guards it.
    """
    floor = 0 if out_of == "available" else None
    effects = Effects()
    for item in items:
        key = shelf_key(item.sku)
        effects.write += [Add(key, out_of, -item.quantity, floor), Add(key, into, item.quantity)]
    return effects


def waiting_for_carrier(by: int) -> Add:
    """One parcel more, or less, waits for the carrier."""
    return Add(PARCELS, "waiting", by)


def deliver(shelf: Shelf, delivery: StockAdjusted) -> Effects:
    """Put delivered pieces on the shelf, which exists from its first delivery on."""
    key, sequence = shelf_key(shelf.sku), shelf.sequence + 1
    return Effects(
        expect=[unchanged(shelf)],
        write=[
            Put(key, {"sequence": sequence}),
            Add(key, "available", delivery.by),
            Add(key, "delivered", delivery.by),
            Put(CATALOGUE, {shelf.sku: sequence}),
        ],
        emit=[Recorded(delivery, f"shelf:{shelf.sku}", sequence)],
    )
