"""What a notice says: each event of an order in words for the customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.orders import (
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderShipped,
)
from sagashop.messages import Message


def euros(cents: int) -> str:
    return f"€{cents // 100}.{cents % 100:02d}"


OrderEvent = (
    OrderPlaced | OrderConfirmed | OrderCompleted | OrderShipped | OrderRejected | OrderCancelled | OrderRefunded
)

WORDS: dict[type[Message], Callable[[Any], str]] = {
    OrderPlaced: lambda order: f"We have your order over {euros(order.total_cents)}.",
    OrderConfirmed: lambda order: f"Your order over {euros(order.total_cents)} is confirmed.",
    OrderCompleted: lambda _: "Your order is paid and goes to the carrier.",
    OrderShipped: lambda order: f"The carrier has your parcel. Its tracking number is {order.tracking}.",
    OrderRejected: lambda order: f"We could not take your order: {order.reason}. You were not charged.",
    OrderCancelled: lambda _: "Your order is cancelled. You were not charged.",
    OrderRefunded: lambda order: f"Your order is cancelled and {euros(order.total_cents)} went back to your account.",
}
"""The events that customers hear of, each with its sentence."""
