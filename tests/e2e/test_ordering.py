"""A customer orders through the front door, and everything the house promises about it holds."""

from __future__ import annotations

from typing import Any

import pytest

from sagashop.cli.shop import Refused, Shop
from sagashop.messages import new_id
from tests.people import WELCOME_CENTS, People, balance, new_product, place, settled, sign_up, status_of, stock_of
from tests.servers import eventually


def timeline(shop: Shop, order_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = shop.get(f"/api/orders/{order_id}/timeline")
    return answer


def path_of(shop: Shop, order_id: str, step: str) -> list[str]:
    """The statuses a step went through, from the timeline."""
    return [c["status"] for e in timeline(shop, order_id)["entries"] for c in e["changes"] if c["step"] == step]


@pytest.mark.feature("F10")
def test_an_order_goes_all_the_way_and_money_and_stock_move_once(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=1500)
    before = stock_of(operator, sku)
    order = place(customer, sku, 2)
    assert order["total_cents"] == 3000
    assert settled(customer, order["order_id"]) == "completed"
    assert balance(customer)["available_cents"] == WELCOME_CENTS - 3000
    assert balance(customer)["held_cents"] == 0
    eventually(lambda: stock_of(operator, sku)["sold"] == before["sold"] + 2, deadline_s=20)
    after = stock_of(operator, sku)
    assert (after["available"], after["reserved"]) == (before["available"] - 2, 0)


@pytest.mark.feature("F10")
def test_the_timeline_shows_each_step_with_its_times(customer: Shop, operator: Shop) -> None:
    order = place(customer, new_product(operator))
    settled(customer, order["order_id"])
    for step in ("stock", "payment", "capture", "shipment"):
        assert path_of(customer, order["order_id"], step)[-1] == "done"
    shown = timeline(customer, order["order_id"])
    assert [step["status"] for step in shown["steps"]] == ["done"] * 4
    assert all(step["duration_ms"] >= 0 for step in shown["steps"])


@pytest.mark.feature("F30")
def test_a_guests_cart_survives_log_in_and_is_emptied_by_its_order(guest: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=700)
    guest.put(f"/api/cart/lines/{sku}", {"quantity": 3})
    sign_up(guest)
    cart = guest.get("/api/cart")
    assert [(line["sku"], line["quantity"]) for line in cart["lines"]] == [(sku, 3)]
    body = {
        "lines": [{"sku": sku, "quantity": 3}],
        "cart_id": cart["cart_id"],
        "cart_version": cart["version"],
        "expected_total_cents": cart["total_cents"],
    }
    first = guest.post("/api/orders", body)
    assert guest.post("/api/orders", body)["order_id"] == first["order_id"], "cart id and version are the default key"
    eventually(lambda: guest.get("/api/cart")["lines"] == [], deadline_s=15)
    assert settled(guest, first["order_id"]) == "completed"


def test_a_cart_changed_after_ordering_is_not_emptied(customer: Shop, operator: Shop) -> None:
    ordered, added = new_product(operator), new_product(operator)
    customer.put(f"/api/cart/lines/{ordered}", {"quantity": 1})
    cart = customer.get("/api/cart")
    customer.put(f"/api/cart/lines/{added}", {"quantity": 1})
    body = {"lines": [{"sku": ordered, "quantity": 1}], "cart_id": cart["cart_id"], "cart_version": cart["version"]}
    order = customer.post("/api/orders", body)
    settled(customer, order["order_id"])
    assert {line["sku"] for line in customer.get("/api/cart")["lines"]} == {ordered, added}


@pytest.mark.feature("F10")
def test_payment_declined_releases_the_stock(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=WELCOME_CENTS)
    before = stock_of(operator, sku)["available"]
    order = place(customer, sku, 2)
    assert settled(customer, order["order_id"]) == "rejected"
    assert path_of(customer, order["order_id"], "payment") == ["asked", "refused"]
    assert path_of(customer, order["order_id"], "stock") == ["asked", "done", "undoing", "undone"]
    assert stock_of(operator, sku)["available"] == before
    assert balance(customer)["available_cents"] == WELCOME_CENTS


@pytest.mark.feature("F10")
def test_out_of_stock_rejects_before_any_money_is_asked_for(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=1, stock=0)
    available = stock_of(operator, sku)["available"]
    orders = [place(customer, sku, 60) for _ in range(available // 60 + 1)]
    outcomes = [settled(customer, order["order_id"]) for order in orders]
    assert outcomes.count("rejected") == 1
    rejected = orders[outcomes.index("rejected")]["order_id"]
    assert path_of(customer, rejected, "payment") == []
    assert path_of(customer, rejected, "stock") == ["asked", "refused"]


@pytest.mark.feature("F10")
def test_cancelling_after_the_pivot_refunds_the_money_and_returns_the_stock(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=4000)
    before = stock_of(operator, sku)["available"]
    order_id = place(customer, sku, Prefer="wait=5")["order_id"]
    customer.post(f"/api/orders/{order_id}/cancellation", {"reason": "wrong colour"})
    assert settled_after_cancellation(customer, order_id) in {"refunded", "cancelled"}
    assert balance(customer)["available_cents"] == WELCOME_CENTS
    assert stock_of(operator, sku)["available"] == before


def settled_after_cancellation(shop: Shop, order_id: str) -> str:
    eventually(lambda: status_of(shop, order_id) in {"refunded", "cancelled", "rejected"}, 30)
    return status_of(shop, order_id)


def test_a_cancellation_races_the_saga_and_no_cent_is_lost(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=100)
    for _ in range(15):
        order_id = place(customer, sku)["order_id"]
        customer.post(f"/api/orders/{order_id}/cancellation")
        assert settled_after_cancellation(customer, order_id) in {"refunded", "cancelled"}
    assert balance(customer) == balance(customer) | {"available_cents": WELCOME_CENTS, "held_cents": 0}


def test_the_same_key_gives_the_first_order_and_another_body_is_refused(customer: Shop, operator: Shop) -> None:
    sku, key = new_product(operator), new_id()
    first = place(customer, sku, 1, **{"Idempotency-Key": key})
    again = place(customer, sku, 1, **{"Idempotency-Key": key})
    assert again["order_id"] == first["order_id"]
    with pytest.raises(Refused) as refused:
        place(customer, sku, 2, **{"Idempotency-Key": key})
    assert (refused.value.status, refused.value.kind) == (422, "idempotency-key-reused")
    settled(customer, first["order_id"])
    assert balance(customer)["available_cents"] == WELCOME_CENTS - 1000


def test_prefer_wait_brings_the_outcome_in_the_same_answer(customer: Shop, operator: Shop) -> None:
    order = place(customer, new_product(operator), 1, Prefer="wait=5")
    assert order["status"] in {"confirmed", "completed"}


def test_the_events_of_an_order_arrive_live_and_from_the_beginning(customer: Shop, operator: Shop) -> None:
    order_id = place(customer, new_product(operator))["order_id"]
    seen = []
    for name, _ in customer.events(order_id, read_timeout_s=20):
        seen.append(name)
        if name == "OrderCompleted":
            break
    assert seen[0] == "OrderPlaced"
    assert seen.index("OrderConfirmed") < seen.index("OrderCompleted")
    later = []
    for name, _ in customer.events(order_id, read_timeout_s=20):
        later.append(name)
        if name == "OrderCompleted":
            break
    assert later == seen


@pytest.mark.feature("F07")
def test_the_order_list_is_rebuilt_while_orders_flow(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator)
    before = [place(customer, sku)["order_id"] for _ in range(5)]
    operator.post("/admin/orders/read-model/rebuild")
    after = [place(customer, sku)["order_id"] for _ in range(5)]
    eventually(lambda: listed(customer) == set(before + after), deadline_s=20)
    for order_id in before + after:
        settled(customer, order_id)
    eventually(lambda: {o["status"] for o in customer.get("/api/orders")["items"]} == {"completed"}, deadline_s=20)


def listed(shop: Shop) -> set[str]:
    return {order["order_id"] for order in shop.get("/api/orders", limit=100)["items"]}


def test_nobody_sees_the_order_of_another(customer: Shop, people: People, operator: Shop) -> None:
    order_id = place(customer, new_product(operator))["order_id"]
    other = people.customer()
    for path in ("", "/timeline", "/events"):
        assert other.send("GET", f"/api/orders/{order_id}{path}").status_code == 404
    assert other.send("POST", f"/api/orders/{order_id}/cancellation", json={}).status_code == 404
    assert operator.get(f"/api/orders/{order_id}")["order_id"] == order_id


def test_a_changed_price_is_noticed_before_anything_is_placed(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=1000)
    operator.call("PATCH", f"/api/products/{sku}", json={"price_cents": 1200})
    body = {"lines": [{"sku": sku, "quantity": 1}], "expected_total_cents": 1000}

    def refusal() -> str | None:
        answer = customer.send("POST", "/api/orders", json=body)
        return answer.json()["type"] if answer.status_code == 409 else None

    assert str(eventually(refusal, deadline_s=15)).endswith("/price-changed")


@pytest.mark.feature("F09")
def test_analytics_counts_orders_and_revenue_from_events_alone(customer: Shop, operator: Shop) -> None:
    before = operator.get("/api/analytics/summary")
    order_id = place(customer, new_product(operator, price_cents=1234), 2)["order_id"]
    settled(customer, order_id)

    def counted() -> bool:
        now = operator.get("/api/analytics/summary")
        more = now["orders"]["completed"] - before["orders"]["completed"]
        return bool(more >= 1 and now["revenue_cents"] - before["revenue_cents"] >= 2468)

    eventually(counted, deadline_s=15)


@pytest.mark.feature("F06")
def test_all_accounts_sum_to_zero(operator: Shop) -> None:
    eventually(lambda: operator.get("/admin/payments/ledger")["balanced"] is True, deadline_s=20)
