"""What the audit joins: each place where money and goods may not be is found, and each undo that nobody asked for."""

from __future__ import annotations

from typing import get_args

import pytest

from sagashop.audit.facts import Fact, GoodsFact, OrderFact, PaymentFact
from sagashop.audit.join import UNKNOWN, Joined
from services.fulfillment.domain import Status as GoodsStatus
from services.orders.domain import SETTLED
from services.payments.domain import State
from tests.unit.checkout_world import OUTCOMES

MONEY = "the money of each order agrees with its status"
GOODS = "the goods of each order agree with its status"
ASKED_FOR = "every compensation was asked for by its order"
CENTS = 1800
ITEMS = {"MUG": 2}


def order(status: str, steps: dict[str, str] | None = None, *, settled: bool = True) -> OrderFact:
    return OrderFact(
        order_id="o1", customer_id="c1", status=status, settled=settled, version=5, total_cents=CENTS,
        steps=steps or {}, items=ITEMS,
    )  # fmt: skip


def payment(status: str, cents: int = CENTS, customer_id: str = "c1", *events: str) -> PaymentFact:
    counts = dict.fromkeys(events, 1)
    return PaymentFact(order_id="o1", customer_id=customer_id, status=status, amount_cents=cents, events=counts)


def goods(status: str, items: dict[str, int] | None = None, *events: str) -> GoodsFact:
    counts = dict.fromkeys(events, 1)
    return GoodsFact(order_id="o1", status=status, items=ITEMS if items is None else items, events=counts)


def wrong(*facts: Fact) -> set[str]:
    """The checks that these facts make fail."""
    return {check.name for check in Joined(facts).checks() if check.wrong}


def test_every_final_status_has_its_places() -> None:
    assert OUTCOMES.keys() == {status.value for status in SETTLED}


@pytest.mark.parametrize("status", OUTCOMES)
@pytest.mark.parametrize("state", State)
def test_money_is_held_against_an_order_exactly_where_it_may_not_be(status: str, state: State) -> None:
    allowed, places = OUTCOMES[status]
    facts: list[Fact] = [order(status), goods(min(places))]
    assert (MONEY in wrong(*facts, payment(state.value))) == (state not in allowed)
    if state is State.UNKNOWN:
        assert (MONEY in wrong(*facts)) == (state not in allowed), "none at all"


@pytest.mark.parametrize("status", OUTCOMES)
@pytest.mark.parametrize("place", get_args(GoodsStatus))
def test_goods_are_held_against_an_order_exactly_where_they_may_not_be(status: str, place: str) -> None:
    states, allowed = OUTCOMES[status]
    facts: list[Fact] = [order(status), payment(min(states).value)]
    assert (GOODS in wrong(*facts, goods(place))) == (place not in allowed)
    if place == UNKNOWN:
        assert (GOODS in wrong(*facts)) == (place not in allowed), "none at all"


@pytest.mark.parametrize(("status", "state"), [("completed", "captured"), ("refunded", "refunded")])
@pytest.mark.parametrize(
    ("cents", "payer", "is_wrong"), [(CENTS, "c1", False), (1799, "c1", True), (CENTS, "c2", True)]
)
def test_what_was_paid_is_what_the_order_costs_and_its_customer_paid_it(
    status: str, state: str, cents: int, payer: str, is_wrong: bool
) -> None:
    assert (MONEY in wrong(order(status), payment(state, cents, payer))) == is_wrong


@pytest.mark.parametrize(
    ("items", "is_wrong"), [(ITEMS, False), ({}, False), ({"MUG": 1}, True), ({"MUG": 2, "CUP": 1}, True)]
)
def test_the_goods_put_aside_are_those_of_the_order(items: dict[str, int], is_wrong: bool) -> None:
    assert (GOODS in wrong(order("rejected"), goods("released", items))) == is_wrong


@pytest.mark.parametrize(
    ("event", "step"),
    [("PaymentReleased", "payment"), ("PaymentRefunded", "capture"), ("StockReleased", "stock"),
     ("ShipmentCancelled", "shipment")],
)  # fmt: skip
@pytest.mark.parametrize("standing", ["idle", "asked", "owed", "done", "refused", "undoing", "undone"])
def test_an_undo_is_held_against_an_order_that_did_not_ask_for_it(event: str, step: str, standing: str) -> None:
    told = payment("released", CENTS, "c1", event) if event.startswith("Payment") else goods("released", None, event)
    found = ASKED_FOR in wrong(order("rejected", {step: standing}), told)
    assert found == (standing not in {"undoing", "undone"})


def test_an_order_under_way_may_have_its_money_and_goods_anywhere() -> None:
    assert not wrong(order("confirmed", settled=False), payment("held", 1), goods("reserved", {}))
