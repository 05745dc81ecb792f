"""What fulfillment decides about each message: one table of status × message, without a blank cell.

Delivery: at least once; the commit makes each decision take effect exactly once. Every cell gives the same answer when
its message comes again, so a saga may repeat a command as often as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contracts.fulfillment import StockAdjusted
from contracts.orders import CancelShipment, ReleaseStock, RequestShipment, ReserveStock
from contracts.storefront import ProductPriced
from sagashop.effects import NOTHING, Effects, Rows
from sagashop.handlers import Handlers
from sagashop.messages import Message
from sagashop.tasks.task import reopened
from services.fulfillment import store
from services.fulfillment.decisions import (
    Cell,
    State,
    call_again,
    call_carrier,
    give_back,
    hand_over,
    ignore,
    put_aside,
    recall,
    say_left,
    say_no_parcel,
    say_none_held,
    say_rejected,
    say_released,
    say_requested,
    say_reserved,
    say_too_late,
)
from services.fulfillment.domain import Shelf, Status
from services.fulfillment.messages import WORK, ParcelOverdue, ParcelTaken
from services.fulfillment.settings import FulfillmentSettings

MESSAGES: tuple[type[Message], ...] = (
    ReserveStock,
    ReleaseStock,
    RequestShipment,
    CancelShipment,
    ParcelTaken,
    ParcelOverdue,
)

# `give_back` and `recall` of an unknown order find no items: they leave a tombstone, which refuses the late command.
TABLE: dict[Status, tuple[Cell, ...]] = {
    #           ReserveStock  ReleaseStock   RequestShipment CancelShipment ParcelTaken ParcelOverdue
    "unknown":  (put_aside,    give_back,     say_no_parcel,  recall,        ignore,     ignore),
    "reserved": (say_reserved, give_back,     call_carrier,   recall,        ignore,     ignore),
    "rejected": (say_rejected, say_none_held, say_no_parcel,  say_no_parcel, ignore,     ignore),
    "released": (say_too_late, say_released,  say_no_parcel,  say_no_parcel, ignore,     ignore),
    "shipping": (say_reserved, give_back,     say_requested,  recall,        hand_over,  call_again),
    "shipped":  (say_reserved, say_none_held, say_requested,  say_left,      ignore,     ignore),
    "recalled": (say_too_late, say_none_held, say_no_parcel,  say_no_parcel, ignore,     ignore),
}  # fmt: skip


def by_table(message: Message, state: State) -> Effects:
    """Look the cell up. Its answer holds only while the reservation is as it was seen: repeats are guarded, too."""
    cell = TABLE[state.reservation.status][MESSAGES.index(type(message))]
    return Effects(expect=[store.unchanged(state.reservation)]) + cell(message, state)


def open_shelf(product: ProductPriced, shelf: Shelf, pieces: int) -> Effects:
    """A product that is new here gets a shelf with its opening delivery; a price or name changes nothing."""
    if shelf.known:
        return NOTHING
    delivery = StockAdjusted(sku=product.sku, by=pieces, reason="opening")
    return store.deliver(shelf, delivery)


def make_handlers(settings: FulfillmentSettings) -> Handlers:
    """Fulfillment's messages, with the rows each needs."""

    def view(message: Any, rows: Rows) -> State | Shelf | Rows:
        if type(message) in WORK:
            return rows
        if isinstance(message, ProductPriced):
            return store.shelf_from(message.sku, rows[store.shelf_key(message.sku)])
        reservation = store.reservation_from(message.order_id, rows[store.reservation_key(message.order_id)])
        shelves = {sku: store.shelf_from(sku, rows[store.shelf_key(sku)]) for sku in skus_in(message)}
        return State(reservation, shelves, settings.parcel_timeout_s)

    handlers = Handlers(keys=keys_for, view=view)
    handlers.on(*MESSAGES)(by_table)
    handlers.on(ProductPriced)(lambda product, shelf: open_shelf(product, shelf, settings.opening_stock))
    handlers.on(*WORK, only_replayed=True)(lambda work, rows: reopened(store.SERVICE, work, rows))
    return handlers


def keys_for(message: Any) -> Iterable[str]:
    """The rows a decision reads. Goods that move back or out need no shelf: their guard is the reservation."""
    if type(message) in WORK:
        return []
    if isinstance(message, ProductPriced):
        return [store.shelf_key(message.sku)]
    return [store.reservation_key(message.order_id), *map(store.shelf_key, skus_in(message))]


def skus_in(message: Any) -> list[str]:
    return sorted({item.sku for item in message.items}) if isinstance(message, ReserveStock) else []
