"""What fulfillment tells the others."""

from __future__ import annotations

from typing import ClassVar

from contracts.orders import Item
from sagashop.messages import Message


class _Event(Message):
    channel: ClassVar[str] = "fulfillment.events"


class StockReserved(_Event):
    """Every item of the order is put aside."""

    order_id: str
    items: list[Item]


class StockRejected(_Event):
    """Nothing is put aside. `missing` names the products that were short; `reason` says why in words."""

    order_id: str
    missing: list[str]
    reason: str


class StockReleased(_Event):
    """Nothing of the order is put aside any more. `items` is empty where nothing had been."""

    order_id: str
    items: list[Item]


class ShipmentRequested(_Event):
    """The parcel waits for the carrier."""

    order_id: str
    shipment_id: str


class ShipmentCancelled(_Event):
    """The answer to CancelShipment. `returned`: the items are back on the shelves; false: the parcel had left."""

    order_id: str
    returned: bool


class ShipmentBooked(_Event):
    """The carrier took the parcel; the items are sold."""

    order_id: str
    customer_id: str
    shipment_id: str
    tracking: str
    items: list[Item]


class StockAdjusted(_Event):
    """The operator (or the opening delivery) changed what is on the shelf by `by` pieces."""

    sku: str
    by: int
    reason: str
