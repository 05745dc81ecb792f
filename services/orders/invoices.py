"""The invoice of an order: what it says follows from the journal, so the same order has the same invoice every time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from contracts.orders import Line, OrderConfirmed
from sagashop.journal import JournalRow
from services.orders.history import event_of


class Invoice(Struct, frozen=True, kw_only=True):
    """What stands on an invoice; amounts in integer cents.

    number: the year and the place of the order's confirmation in the journal: unique, rising, and never another one
    """

    number: str
    date: datetime
    order_id: str
    customer: Sequence[str]
    lines: Sequence[Line]
    total_cents: int


def invoice_of(rows: Sequence[JournalRow], customer: Sequence[str]) -> Invoice | None:
    """The invoice of the order with this history; None while it is not confirmed there."""
    for row in rows:
        event = event_of(row)
        if isinstance(event, OrderConfirmed):
            date = datetime.fromtimestamp(row.time_ms / 1000, UTC)
            return Invoice(
                number=f"{date.year}-{row.id:07d}", date=date, order_id=event.order_id,
                customer=customer or [f"Customer {event.customer_id}"], lines=event.lines,
                total_cents=event.total_cents,
            )  # fmt: skip
    return None


def euros(cents: int) -> str:
    return f"€ {cents // 100:,}.{cents % 100:02d}"
