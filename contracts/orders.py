"""What orders tells the others, and what it asks of them."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from sagashop.messages import Message
from sagashop.saga import Change


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an order, at the price the customer agreed to."""

    sku: str
    quantity: int
    price_cents: int = 0
    name: str = ""


class _Event(Message, kw_only=True):
    """Every event of an order also says which stations of its saga changed with it: one event for each commit."""

    channel: ClassVar[str] = "orders.events"

    order_id: str
    changes: list[Change] = []


class OrderPlaced(_Event):
    """The customer's order is accepted; nothing is reserved or charged yet."""

    customer_id: str
    lines: list[Line]
    total_cents: int
    cart_id: str | None = None
    cart_version: int | None = None


class SagaMoved(_Event):
    """The saga of this order went on (or back), and nothing else."""


class OrderConfirmed(_Event):
    """The pivot: stock and money are held, and the order will be carried out."""

    customer_id: str
    lines: list[Line]
    total_cents: int


class OrderCompleted(_Event):
    """Paid and handed over for shipment."""

    customer_id: str
    total_cents: int


class OrderShipped(_Event):
    """The carrier took the parcel."""

    customer_id: str
    tracking: str


class CompensationStarted(_Event):
    """A step refused or did not answer in time; the steps before it are being undone."""

    reason: str


class CancellationRequested(_Event):
    """The customer wants out. Before the pivot the saga goes back; after it the money is refunded."""

    reason: str = ""


class OrderRejected(_Event):
    """A step refused or did not answer in time, and everything is undone."""

    customer_id: str
    reason: str


class OrderCancelled(_Event):
    """Cancelled before the pivot, and everything is undone."""

    customer_id: str
    reason: str = ""


class OrderRefunded(_Event):
    """Cancelled after the pivot: the money went back, and the goods too if they had not left."""

    customer_id: str
    total_cents: int
    reason: str = ""


class _ToFulfillment(Message):
    channel: ClassVar[str] = "fulfillment.commands"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """So many of this product."""

    sku: str
    quantity: int


class ReserveStock(_ToFulfillment):
    """Put every item of the order aside, or none. Answer: StockReserved or StockRejected."""

    order_id: str
    items: list[Item]


class ReleaseStock(_ToFulfillment):
    """Undo ReserveStock, also one that has not arrived yet (it is then refused). Answer: StockReleased."""

    order_id: str


class RequestShipment(_ToFulfillment):
    """Hand the reserved items to the carrier. Answer: ShipmentRequested; later ShipmentBooked."""

    order_id: str
    customer_id: str


class CancelShipment(_ToFulfillment):
    """Undo RequestShipment if the parcel has not left, and put the items back. Answer: ShipmentCancelled."""

    order_id: str


class _ToPayments(Message):
    channel: ClassVar[str] = "payments.commands"


class AuthorizePayment(_ToPayments):
    """Hold the amount on the customer's account. Answer: PaymentAuthorized or PaymentDeclined."""

    order_id: str
    customer_id: str
    amount_cents: int


class ReleasePayment(_ToPayments):
    """Undo AuthorizePayment, also one that has not arrived yet (it is then declined). Answer: PaymentReleased."""

    order_id: str
    customer_id: str


class CapturePayment(_ToPayments):
    """Turn the hold into a payment. Answer: PaymentCaptured."""

    order_id: str
    customer_id: str


class RefundPayment(_ToPayments):
    """Give a captured payment back. Answer: PaymentRefunded."""

    order_id: str
    customer_id: str
