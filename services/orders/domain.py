"""The order: an event-sourced aggregate. `evolve` folds its events; everything else decides about the next event.

Every decision is one event, so an order's version is also the sequence of its last event in the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from contracts.orders import (
    CancellationRequested,
    CompensationStarted,
    Item,
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderShipped,
    SagaMoved,
)
from sagashop.messages import Message
from sagashop.saga import Change, Moves, Phase, Saga, Status, StepState, after_changes


class OrderStatus(StrEnum):
    PLACED = "placed"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    REJECTING = "rejecting"
    REJECTED = "rejected"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


PHASE = {
    OrderStatus.PLACED: Phase.FORWARD,
    OrderStatus.REJECTING: Phase.BACK,
    OrderStatus.CANCELLING: Phase.BACK,
    OrderStatus.CONFIRMED: Phase.COMMITTED,
    OrderStatus.COMPLETED: Phase.COMPLETE,
    OrderStatus.REFUNDING: Phase.RECALL,
    OrderStatus.REJECTED: Phase.ENDED_BACK,
    OrderStatus.CANCELLED: Phase.ENDED_BACK,
    OrderStatus.REFUNDED: Phase.ENDED_RECALLED,
}
"""Where the saga stands, by the order's status."""

SETTLED = frozenset({OrderStatus.COMPLETED, OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.REFUNDED})
"""Nothing is under way. A completed order may still be cancelled, which refunds it."""


class StepOverdue(Message):
    """A timer of ours: the step has not answered what was sent at this status and attempt."""

    channel: ClassVar[str] = "orders.timers"

    order_id: str
    step: str
    status: Status
    attempt: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of an order's events. `version` counts them."""

    order_id: str
    customer_id: str
    lines: list[Line]
    total_cents: int
    status: OrderStatus = OrderStatus.PLACED
    version: int = 0
    steps: dict[str, StepState] = {}
    reason: str = ""
    tracking: str = ""

    @property
    def phase(self) -> Phase:
        return PHASE[self.status]

    @property
    def items(self) -> list[Item]:
        return [Item(sku=line.sku, quantity=line.quantity) for line in self.lines]

    @property
    def amount_cents(self) -> int:
        return self.total_cents


def place(saga: Saga, order_id: str, customer_id: str, lines: Sequence[Line], *,
          cart_id: str | None = None, cart_version: int | None = None) -> OrderPlaced:  # fmt: skip
    """The first event of an order: accepted, and its first step is asked."""
    return OrderPlaced(
        order_id=order_id, customer_id=customer_id, lines=list(lines), cart_id=cart_id, cart_version=cart_version,
        total_cents=sum(line.quantity * line.price_cents for line in lines), changes=list(saga.start().changes),
    )  # fmt: skip


def moved(order: Order, moves: Moves) -> Message | None:
    """The event that records these moves; None where nothing changes."""
    what: dict[str, Any] = {"order_id": order.order_id, "changes": list(moves.changes)}
    who = what | {"customer_id": order.customer_id}
    reason = order.reason or next((c.note for c in moves.changes if c.note), "")
    if moves.phase is order.phase:
        return SagaMoved(**what) if moves.changes else None
    match moves.phase:
        case Phase.COMMITTED:
            return OrderConfirmed(**who, lines=order.lines, total_cents=order.total_cents)
        case Phase.COMPLETE:
            return OrderCompleted(**who, total_cents=order.total_cents)
        case Phase.ENDED_RECALLED:
            return OrderRefunded(**who, total_cents=order.total_cents, reason=reason)
        case Phase.ENDED_BACK if order.status is OrderStatus.CANCELLING:
            return OrderCancelled(**who, reason=reason)
        case Phase.ENDED_BACK:
            return OrderRejected(**who, reason=reason)
        case _:
            return CompensationStarted(**what, reason=reason)


def cancel(saga: Saga, order: Order, reason: str) -> CancellationRequested | None:
    """The customer wants out; None where the order is on its way back already, or has ended so."""
    moves = saga.cancelled(order.phase, order.steps)
    if not moves.changes:
        return None
    return CancellationRequested(order_id=order.order_id, reason=reason, changes=list(moves.changes))


def evolve(saga: Saga, order: Order | None, event: Any) -> Order:
    """The order after this event."""
    if isinstance(event, OrderPlaced):
        order = Order(
            order_id=event.order_id, customer_id=event.customer_id, lines=event.lines, total_cents=event.total_cents,
            steps={name: StepState() for name in saga.steps},
        )  # fmt: skip
    if order is None:
        raise ValueError(f"a history begins with OrderPlaced, not with {type(event).__name__}")
    changes: list[Change] = event.changes
    return msgspec.structs.replace(
        order,
        version=order.version + 1,
        status=_status_after(order, event),
        steps=after_changes(order.steps, changes),
        reason=getattr(event, "reason", "") or order.reason,
        tracking=getattr(event, "tracking", order.tracking),
    )


def _status_after(order: Order, event: Any) -> OrderStatus:
    match event:
        case OrderConfirmed():
            return OrderStatus.CONFIRMED
        case OrderCompleted():
            return OrderStatus.COMPLETED
        case CompensationStarted():
            return OrderStatus.REJECTING
        case CancellationRequested():
            return OrderStatus.CANCELLING if order.phase is Phase.FORWARD else OrderStatus.REFUNDING
        case OrderRejected():
            return OrderStatus.REJECTED
        case OrderCancelled():
            return OrderStatus.CANCELLED
        case OrderRefunded():
            return OrderStatus.REFUNDED
        case OrderShipped() | SagaMoved() | OrderPlaced():
            return order.status
        case _:
            raise ValueError(f"{type(event).__name__} is no event of an order")


EVENTS: list[type[Message]] = [
    OrderPlaced, SagaMoved, OrderConfirmed, OrderCompleted, OrderShipped, CompensationStarted, CancellationRequested,
    OrderRejected, OrderCancelled, OrderRefunded,
]  # fmt: skip
