"""The order as an aggregate, and what its row in Redis is told."""

from __future__ import annotations

import pytest

from contracts.orders import Line, OrderCompleted, OrderShipped, ReserveStock, SagaMoved
from contracts.storefront import CustomerRegistered, ProductPriced
from sagashop.effects import FOREVER, Effects, Expect, Put, Rows, SetTimer
from sagashop.saga import Change, Status
from services.orders.domain import OrderStatus, StepOverdue, evolve, place
from services.orders.handlers import make_handlers
from services.orders.saga import checkout
from services.orders.store import KEEP_SETTLED_S, product_key, record
from tests.unit.checkout_world import World

MUGS = [Line(sku="MUG", quantity=2, price_cents=150), Line(sku="TEE", quantity=1, price_cents=1_000)]


@pytest.mark.feature("F10")
def test_placing_records_the_order_its_first_command_and_a_timer() -> None:
    placed = place(checkout, "o1", "c1", MUGS, cart_id="k", cart_version=3)
    effects = record(checkout, None, placed)
    assert placed.total_cents == 1_300
    assert [type(message).__name__ for message in effects.emitted] == ["OrderPlaced", "ReserveStock"]
    reserve = effects.emitted[1]
    assert isinstance(reserve, ReserveStock)
    assert {item.sku: item.quantity for item in reserve.items} == {"MUG": 2, "TEE": 1}
    assert effects.timers == [SetTimer(StepOverdue("o1", "stock", Status.ASKED, 1), 10)]
    assert isinstance(effects.expect[0], Expect)
    assert effects.expect[0].value is None, "an order is placed once"


@pytest.mark.feature("F07")
def test_a_history_begins_with_the_placing() -> None:
    with pytest.raises(ValueError, match="OrderPlaced"):
        evolve(checkout, None, SagaMoved(order_id="o1"))


@pytest.mark.feature("F07")
def test_a_foreign_event_is_no_event_of_an_order() -> None:
    order = evolve(checkout, None, place(checkout, "o1", "c1", MUGS))
    with pytest.raises((ValueError, AttributeError)):
        evolve(checkout, order, StepOverdue("o1", "stock", Status.ASKED, 1))


@pytest.mark.feature("F07")
def test_each_event_counts_and_the_last_change_stands() -> None:
    order = evolve(checkout, None, place(checkout, "o1", "c1", MUGS))
    order = evolve(checkout, order, SagaMoved(order_id="o1", changes=[Change("stock", Status.DONE)]))
    order = evolve(checkout, order, OrderShipped(order_id="o1", customer_id="c1", tracking="T1"))
    order = evolve(checkout, order, OrderCompleted(order_id="o1", customer_id="c1", total_cents=1_300))
    assert (order.version, order.status, order.tracking) == (4, OrderStatus.COMPLETED, "T1")
    assert order.steps["stock"].status is Status.DONE


def only_put(effects: Effects) -> Put:
    put = effects.write[0]
    assert isinstance(put, Put)
    return put


@pytest.mark.feature("F10")
def test_a_settled_order_expires_and_a_refund_makes_it_stay_again() -> None:
    world = World()
    world.place()
    effects = Effects()
    while world.order().status is not OrderStatus.COMPLETED:
        effects = world.deliver(0)
    assert only_put(effects).ttl_s == KEEP_SETTLED_S
    cancelled = world.cancellation()
    assert cancelled is not None
    assert only_put(cancelled).ttl_s == FOREVER


@pytest.mark.feature("F10")
def test_a_message_about_an_order_that_is_gone_changes_nothing() -> None:
    handlers = make_handlers(checkout)
    assert handlers.decide(StepOverdue("gone", "stock", Status.ASKED, 1), {}) == Effects()


def test_prices_and_customers_keep_the_newest_revision_in_any_order() -> None:
    handlers, rows = make_handlers(checkout), Rows()
    new = ProductPriced(sku="MUG", revision=3, name="Mug", category="c", price_cents=120, on_sale=False)
    old = ProductPriced(sku="MUG", revision=2, name="Mug", category="c", price_cents=100)
    assert only_put(handlers.decide(new, rows)).fields["price_cents"] == 120
    rows[product_key("MUG")] = {"revision": "3"}
    assert handlers.decide(old, rows) == handlers.decide(new, rows) == Effects()
    customer = CustomerRegistered(customer_id="c1", revision=1, name="Demo Customer", email="d@sagashop.example")
    assert only_put(handlers.decide(customer, rows)).fields["name"] == "Demo Customer"
