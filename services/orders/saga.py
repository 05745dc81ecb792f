"""The checkout saga. Nothing else in this service says what comes after what.

The engine (sagashop/saga.py) turns this table into transitions. A command takes its fields from the order, by name.
"""

from contracts.fulfillment import ShipmentCancelled, ShipmentRequested, StockRejected, StockReleased, StockReserved
from contracts.orders import (
    AuthorizePayment,
    CancelShipment,
    CapturePayment,
    RefundPayment,
    ReleasePayment,
    ReleaseStock,
    RequestShipment,
    ReserveStock,
)
from contracts.payments import PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentReleased
from sagashop.saga import Pivot, Saga, Step

checkout = Saga(
    "checkout",
    Step(name="stock",    ask=ReserveStock,     ok=StockReserved,     refused=StockRejected,
                          undo=ReleaseStock,    undone=StockReleased, within_s=10),
    Step(name="payment",  ask=AuthorizePayment, ok=PaymentAuthorized, refused=PaymentDeclined,
                          undo=ReleasePayment,  undone=PaymentReleased, within_s=30),
    Pivot(),  # OrderConfirmed: from here the order will be carried out, or refunded
    Step(name="capture",  ask=CapturePayment,   ok=PaymentCaptured,
                          undo=RefundPayment,   undone=PaymentRefunded, undo_needs_ok=True),
    Step(name="shipment", ask=RequestShipment,  ok=ShipmentRequested,
                          undo=CancelShipment,  undone=ShipmentCancelled),
)  # fmt: skip
