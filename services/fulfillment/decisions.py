"""What can be decided about an order's goods. Which decision is taken when is the table in `handlers.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from contracts.fulfillment import (
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentRequested,
    StockAdjusted,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.orders import CancelShipment, ReleaseStock, RequestShipment, ReserveStock
from sagashop.effects import NOTHING, ClearTimer, Command, Effects, Expect, Put, SetTimer
from services.fulfillment import store
from services.fulfillment.domain import Reservation, Shelf, merged, refusal, shipment_id_of
from services.fulfillment.messages import BookParcel, CancelBooking, ParcelOverdue, ParcelTaken


class State(Struct, frozen=True):
    """What a decision about an order's goods may look at. `shelves` holds the products the message names."""

    reservation: Reservation
    shelves: dict[str, Shelf]
    parcel_timeout_s: float


Cell = Callable[[Any, State], Effects]

CANCELLED = "cancelled"
"""The reason of a refusal after the undo overtook its command."""


def put_aside(command: ReserveStock, state: State) -> Effects:
    """Take every item of the order off the shelves, or none of them."""
    refused = refusal(command.items, state.shelves)
    if refused:
        return reject(command, state, *refused)
    items = merged(command.items)
    event = StockReserved(order_id=command.order_id, items=items)
    turn = store.turn(state.reservation, "reserved", event, items=store.as_json(items))
    return turn + store.transfer(items, "available", "reserved")


def reject(command: ReserveStock, state: State, missing: list[str], reason: str) -> Effects:
    """Refuse the order. The refusal rests on guards: should the goods be there after all, it is decided again."""
    event = StockRejected(order_id=command.order_id, missing=missing, reason=reason)
    effects = store.turn(state.reservation, "rejected", event, missing=store.as_json(missing), reason=reason)
    return effects + Effects(expect=store.still_missing(command.items, state.shelves))


def give_back(command: ReleaseStock, state: State) -> Effects:
    """Undo before the pivot: everything goes back on the shelves."""
    event = StockReleased(order_id=command.order_id, items=state.reservation.items)
    return store.turn(state.reservation, "released", event) + back_on_shelves(state.reservation)


def recall(command: CancelShipment, state: State) -> Effects:
    """Undo after the pivot: the parcel has not left, so its items go back on the shelves."""
    event = ShipmentCancelled(order_id=command.order_id, returned=True)
    return store.turn(state.reservation, "recalled", event) + back_on_shelves(state.reservation)


def call_carrier(command: RequestShipment, state: State) -> Effects:
    """Pack the parcel and have the carrier called: slow work, which the queue of bookings carries on."""
    event = ShipmentRequested(order_id=command.order_id, shipment_id=shipment_id_of(command.order_id))
    turn = store.turn(state.reservation, "shipping", event, customer_id=command.customer_id)
    return turn + Effects(write=[store.waiting_for_carrier(+1)]) + _call(command.order_id, state)


def call_again(overdue: ParcelOverdue, state: State) -> Effects:
    """Nothing was heard of the parcel: the carrier knows a repeated booking by its id."""
    return _call(overdue.order_id, state)


def _call(order_id: str, state: State) -> Effects:
    shipment_id = shipment_id_of(order_id)
    call = Command(BookParcel(order_id=order_id, shipment_id=shipment_id), id=f"{shipment_id}.book")
    return Effects(emit=[call], timers=[SetTimer(ParcelOverdue(order_id=order_id), state.parcel_timeout_s)])


def hand_over(taken: ParcelTaken, state: State) -> Effects:
    """The carrier has the parcel: what was put aside is sold."""
    order_id, reservation = taken.order_id, state.reservation
    event = ShipmentBooked(
        order_id=order_id,
        customer_id=reservation.customer_id,
        shipment_id=shipment_id_of(order_id),
        tracking=taken.tracking,
        items=reservation.items,
    )
    turn = store.turn(reservation, "shipped", event, tracking=taken.tracking)
    return turn + store.transfer(reservation.items, "reserved", "sold") + _heard(order_id)


def back_on_shelves(reservation: Reservation) -> Effects:
    """What was put aside is available again, and no carrier comes for it, whatever its booking is at."""
    back = store.transfer(reservation.items, "reserved", "available")
    if reservation.status != "shipping":
        return back
    order_id, shipment_id = reservation.order_id, shipment_id_of(reservation.order_id)
    forget = Command(CancelBooking(order_id=order_id, shipment_id=shipment_id), id=f"{shipment_id}.cancel")
    return back + Effects(emit=[forget]) + _heard(order_id)


def _heard(order_id: str) -> Effects:
    """Nobody waits for the carrier any more."""
    return Effects(write=[store.waiting_for_carrier(-1)], timers=[ClearTimer(ParcelOverdue(order_id=order_id))])


# Answers that change nothing. They are plain messages: the journal has the event already.


def say_reserved(command: ReserveStock, state: State) -> Effects:
    return Effects([StockReserved(order_id=command.order_id, items=state.reservation.items)])


def say_rejected(command: ReserveStock, state: State) -> Effects:
    was = state.reservation
    return Effects([StockRejected(order_id=command.order_id, missing=was.missing, reason=was.reason)])


def say_too_late(command: ReserveStock, _state: State) -> Effects:
    return Effects([StockRejected(order_id=command.order_id, missing=[], reason=CANCELLED)])


def say_released(command: ReleaseStock, state: State) -> Effects:
    return Effects([StockReleased(order_id=command.order_id, items=state.reservation.items)])


def say_none_held(command: ReleaseStock, _state: State) -> Effects:
    return Effects([StockReleased(order_id=command.order_id, items=[])])


def say_requested(command: RequestShipment, _state: State) -> Effects:
    return Effects([ShipmentRequested(order_id=command.order_id, shipment_id=shipment_id_of(command.order_id))])


def say_no_parcel(command: RequestShipment | CancelShipment, _state: State) -> Effects:
    return Effects([ShipmentCancelled(order_id=command.order_id, returned=True)])


def say_left(command: CancelShipment, _state: State) -> Effects:
    return Effects([ShipmentCancelled(order_id=command.order_id, returned=False)])


def ignore(_message: ParcelTaken | ParcelOverdue, _state: State) -> Effects:
    return NOTHING


def restock(shelf: Shelf, pieces: int, restock_id: str) -> Effects:
    """The operator put new pieces on the shelf. The id guards against counting one delivery twice."""
    key = store.restock_key(restock_id)
    delivery = store.deliver(shelf, StockAdjusted(sku=shelf.sku, by=pieces, reason="restock"))
    remember = Put(key, {"sku": shelf.sku, "quantity": pieces}, ttl_s=store.KEEP_ENDED_S)
    return delivery + Effects(expect=[Expect(key, "sku", None)], write=[remember])
