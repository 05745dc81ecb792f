"""Orders tells what happened; analytics counts it. Orders knows nothing of analytics: that is choreography.

Delivery: at least once; each outcome of an order is counted once. The commit sees to that for every delivery of one
entry; the row `counted` also for an event that comes back as another entry (a republished or replayed one), for a day.
"""

from __future__ import annotations

from typing import cast

from contracts.orders import (
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
)
from sagashop.effects import NOTHING, Add, Effects, Expect, Put
from sagashop.handlers import Handlers
from sagashop.messages import Envelope, Message
from services.analytics import store
from services.analytics.store import Outcome

Event = OrderPlaced | OrderConfirmed | OrderCompleted | OrderRejected | OrderCancelled | OrderRefunded

OUTCOMES: dict[type[Message], Outcome] = {
    OrderPlaced: "placed",
    OrderConfirmed: "confirmed",
    OrderCompleted: "completed",
    OrderRejected: "rejected",
    OrderCancelled: "cancelled",
    OrderRefunded: "refunded",
}


def count(envelope: Envelope, counted: frozenset[str]) -> Effects:
    """Count one event in the totals, and in the minute in which it happened (not the one in which we hear of it)."""
    event, minute = cast(Event, envelope.message), store.minute_key(envelope.time_ms // store.MINUTE_MS)
    outcome = OUTCOMES[type(event)]
    if outcome in counted:
        return NOTHING
    effects = _once(event, outcome) + Effects(write=[Add(store.TOTALS, outcome, 1)])
    match event:
        case OrderPlaced():
            return effects + _in_minute(minute, orders=1)
        case OrderConfirmed():
            return effects + _revenue(minute, event.total_cents) + _sold(event)
        case OrderRefunded():
            return effects + _revenue(minute, -event.total_cents)
    return effects


def _once(event: Event, outcome: Outcome) -> Effects:
    key = store.counted_key(event.order_id)
    return Effects(expect=[Expect(key, outcome, None)], write=[Put(key, {outcome: 1}, ttl_s=store.KEEP_COUNTED_S)])


def _revenue(minute: str, cents: int) -> Effects:
    return Effects(write=[Add(store.TOTALS, "revenue_cents", cents)]) + _in_minute(minute, revenue_cents=cents)


def _in_minute(minute: str, **counts: int) -> Effects:
    """Increments only: every worker adds to the same minute, and none has to wait for another."""
    keep = Put(minute, {"kept": 1}, ttl_s=store.KEEP_MINUTE_S)
    return Effects(write=[keep, *(Add(minute, name, by) for name, by in counts.items())])


def _sold(order: OrderConfirmed) -> Effects:
    names = {line.sku: line.name for line in order.lines if line.name}
    effects = Effects(write=[Add(store.SOLD, line.sku, line.quantity) for line in order.lines])
    return effects + Effects(write=[Put(store.NAMES, {**names})] if names else [])


def make_handlers() -> Handlers:
    """Analytics' messages; each needs only what is already counted of its order."""
    handlers = Handlers(
        keys=lambda event: [store.counted_key(event.order_id)],
        view=lambda event, rows: frozenset(rows[store.counted_key(event.order_id)]),
    )
    handlers.on(*OUTCOMES, with_envelope=True)(count)
    return handlers
