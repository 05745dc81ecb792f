"""What analytics counts, without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.orders import (
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
)
from sagashop.effects import NOTHING, Effects, Rows, apply_to
from sagashop.messages import Envelope, Message
from services.analytics import store
from services.analytics.handlers import OUTCOMES, make_handlers

NOW_MS = 1_700_000_000_000
LINES = [Line(sku="MUG", quantity=2, price_cents=500, name="Mug"), Line(sku="TEE", quantity=1, price_cents=250)]


class Counter:
    """Analytics' rows in memory; also the `load` of a bus."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self._handlers = make_handlers()

    def hear(self, message: Message, time_ms: int = NOW_MS) -> Effects:
        for key in self._handlers.keys(message):
            self.rows.setdefault(key, {})
        effects = self._handlers.decide(
            Envelope(message=message, id="x", time_ms=time_ms, producer="orders"), self.rows
        )
        apply_to(effects, self.rows)
        return effects

    def load(self, keys: list[str]) -> Rows:
        return {key: self.rows.get(key, {}) for key in keys}

    def summary(self, now_ms: int = NOW_MS) -> store.Summary:
        bus: Any = self
        return store.summary(bus, now_ms)


def placed(order_id: str = "o1") -> OrderPlaced:
    return OrderPlaced(order_id=order_id, customer_id="c1", lines=LINES, total_cents=1250)


def confirmed(order_id: str = "o1") -> OrderConfirmed:
    return OrderConfirmed(order_id=order_id, customer_id="c1", lines=LINES, total_cents=1250)


def refunded(order_id: str = "o1") -> OrderRefunded:
    return OrderRefunded(order_id=order_id, customer_id="c1", total_cents=1250)


EVENTS: list[Message] = [
    placed(),
    confirmed(),
    OrderCompleted(order_id="o1", customer_id="c1", total_cents=1250),
    OrderRejected(order_id="o1", customer_id="c1", reason="short"),
    OrderCancelled(order_id="o1", customer_id="c1"),
    refunded(),
]


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.mark.parametrize("event", EVENTS, ids=[type(event).__name__ for event in EVENTS])
def test_each_event_counts_once_however_often_it_comes(counter: Counter, event: Message) -> None:
    assert counter.hear(event) != NOTHING
    once = counter.summary()
    assert counter.hear(event) == NOTHING
    assert counter.summary() == once
    assert getattr(once.orders, OUTCOMES[type(event)]) == 1


def test_revenue_is_what_was_confirmed_minus_what_was_refunded(counter: Counter) -> None:
    counter.hear(placed())
    assert counter.summary().revenue_cents == 0, "an order that is only placed has earned nothing"
    counter.hear(confirmed())
    counter.hear(confirmed("o2"))
    assert counter.summary().revenue_cents == 2500
    counter.hear(refunded())
    assert counter.summary().revenue_cents == 1250


def test_an_event_counts_in_the_minute_in_which_it_happened(counter: Counter) -> None:
    counter.hear(placed(), NOW_MS - 3 * store.MINUTE_MS)
    counter.hear(confirmed(), NOW_MS - 2 * store.MINUTE_MS)
    counter.hear(refunded(), NOW_MS)
    minutes = counter.summary().minutes
    assert len(minutes) == store.MINUTES_SHOWN
    assert minutes[-1].start_ms <= NOW_MS < minutes[-1].start_ms + store.MINUTE_MS
    assert [(minute.orders, minute.revenue_cents) for minute in minutes[-4:]] == [(1, 0), (0, 1250), (0, 0), (0, -1250)]
    assert not any(minute.orders or minute.revenue_cents for minute in minutes[:-4])


def test_an_hour_later_the_minutes_are_empty_and_the_totals_stay(counter: Counter) -> None:
    counter.hear(placed())
    later = counter.summary(NOW_MS + 60 * store.MINUTE_MS)
    assert (sum(minute.orders for minute in later.minutes), later.orders.placed) == (0, 1)


def test_the_top_products_are_the_ten_most_confirmed(counter: Counter) -> None:
    for number in range(12):
        line = Line(sku=f"P{number:02}", quantity=number + 1, name=f"Product {number}")
        counter.hear(OrderConfirmed(order_id=f"o{number}", customer_id="c1", lines=[line], total_cents=1))
    top = counter.summary().top_products
    assert [seller.quantity for seller in top] == list(range(12, 2, -1))
    assert top[0] == store.Seller(sku="P11", name="Product 11", quantity=12)


@given(st.lists(st.sampled_from([(placed, 0), (confirmed, 1250), (refunded, -1250)]).flatmap(
    lambda kind: st.tuples(st.just(kind), st.sampled_from(["o1", "o2", "o3"]))
)))  # fmt: skip
def test_the_order_of_arrival_changes_no_total(arrivals: list[Any]) -> None:
    counter = Counter()
    for (make, _), order_id in arrivals:
        counter.hear(make(order_id))
    distinct = {(make.__name__, order_id): cents for (make, cents), order_id in arrivals}
    summary = counter.summary()
    assert summary.revenue_cents == sum(distinct.values())
    assert sum(minute.revenue_cents for minute in summary.minutes) == summary.revenue_cents
    assert summary.orders.placed == sum(1 for name, _ in distinct if name == "placed")
