"""Bad input gets a problem of its own kind, and nothing is half done."""

from __future__ import annotations

from typing import Any

import pytest

from sagashop.cli.shop import Shop
from tests.people import balance, new_product

ORDERS = [
    ({"lines": [{"sku": "NO-SUCH-THING", "quantity": 1}]}, 422, "unknown-product"),
    ({"lines": []}, 422, "invalid-request"),
    ({"lines": [{"sku": "SKU", "quantity": 0}]}, 422, "invalid-request"),
    ({"lines": [{"sku": "SKU", "quantity": -1}]}, 422, "invalid-request"),
    ({"lines": [{"sku": "SKU", "quantity": 10**12}]}, 422, "invalid-request"),
    ({"lines": [{"sku": "SKU", "quantity": "two"}]}, 422, "invalid-request"),
    ({"lines": [{"sku": "SKU", "quantity": 1.5}]}, 422, "invalid-request"),
    ({"lines": "all of them"}, 422, "invalid-request"),
    ({}, 422, "invalid-request"),
    ([], 422, "invalid-request"),
    ({"lines": [{"sku": "SKU", "quantity": 1}], "surprise": True}, 422, "invalid-request"),
    ({"lines": [{"sku": "SKU", "quantity": 1, "price_cents": 1}]}, 422, "invalid-request"),
]


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    document: dict[str, Any] = answer.json()
    assert document["type"].endswith(f"/{kind}"), document
    assert document["status"] == status
    assert document["title"]
    return document


@pytest.fixture(scope="module")
def buyer(people: Any) -> Shop:
    shop: Shop = people.customer()
    return shop


@pytest.fixture(scope="module")
def sku(operator: Shop) -> str:
    return new_product(operator)


@pytest.mark.parametrize(("body", "status", "kind"), ORDERS)
def test_a_bad_order_is_refused_and_nothing_is_placed(buyer: Shop, sku: str, body: Any, status: int, kind: str) -> None:
    body = fill(body, sku)
    problem(buyer.send("POST", "/api/orders", json=body), status, kind)
    assert buyer.get("/api/orders")["items"] == []
    assert balance(buyer)["held_cents"] == 0


def fill(body: Any, sku: str) -> Any:
    """Put the real product where the table says SKU."""
    if isinstance(body, dict) and isinstance(body.get("lines"), list):
        lines = [{**line, "sku": sku if line["sku"] == "SKU" else line["sku"]} for line in body["lines"]]
        return {**body, "lines": lines}
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/api/orders/no-such-order", 404, "no-order"),
        ("GET", "/api/orders/no-such-order/timeline", 404, "no-order"),
        ("POST", "/api/orders/no-such-order/cancellation", 404, "no-order"),
        ("GET", "/api/orders?cursor=%00nonsense", 422, "bad-cursor"),
        ("GET", "/api/products?cursor=nonsense", 422, "bad-cursor"),
        ("GET", "/api/orders?limit=0", 422, "invalid-request"),
        ("GET", "/api/orders?limit=many", 422, "invalid-request"),
        ("GET", "/api/products/NO-SUCH-THING", 404, "unknown-product"),
        ("GET", "/api/no-such-path", 404, "not-found"),
        ("DELETE", "/api/orders", 405, "method-not-allowed"),
    ],
)
def test_what_is_not_there_is_said_so(buyer: Shop, method: str, path: str, status: int, kind: str) -> None:
    answer = buyer.send(method, path, json={} if method == "POST" else None)
    problem(answer, status, kind)
    assert answer.headers["X-Request-ID"], "an answer can be found in the logs"


def test_an_oversized_body_is_refused_at_the_door(buyer: Shop) -> None:
    body = {"lines": [{"sku": "X" * 1000, "quantity": 1}] * 200}
    problem(buyer.send("POST", "/api/orders", json=body), 413, "too-large")


def test_broken_json_and_other_content_types_are_refused(buyer: Shop) -> None:
    json_type = {"Content-Type": "application/json"}
    problem(buyer.send("POST", "/api/orders", data="{'lines':", headers=json_type), 400, "malformed-json")
    text_type = {"Content-Type": "text/plain"}
    problem(buyer.send("POST", "/api/orders", data="{}", headers=text_type), 415, "unsupported-media-type")


def test_ordering_needs_a_session_and_an_expired_one_is_none(guest: Shop, sku: str) -> None:
    body = {"lines": [{"sku": sku, "quantity": 1}]}
    problem(guest.send("POST", "/api/orders", json=body), 401, "not-logged-in")
    guest.session.cookies.set("sagashop_session", "of-long-ago")
    problem(guest.send("POST", "/api/orders", json=body), 401, "not-logged-in")


def test_what_is_the_operators_is_not_the_customers(buyer: Shop, sku: str) -> None:
    product = {"sku": "X", "name": "X", "category": "x", "description": "X", "price_cents": 1}
    for method, path, body in [
        ("POST", "/api/products", product),
        ("PATCH", f"/api/products/{sku}", {"price_cents": 1}),
        ("POST", f"/api/stock/{sku}/restock", {"quantity": 1}),
        ("GET", "/admin/orders/dead-letters", None),
        ("POST", "/admin/orders/pause", None),
        ("GET", "/admin/payments/ledger", None),
    ]:
        problem(buyer.send(method, path, json=body), 403, "forbidden")


def test_another_site_cannot_act_for_a_customer(buyer: Shop, sku: str) -> None:
    body = {"lines": [{"sku": sku, "quantity": 1}]}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        problem(buyer.send("POST", "/api/orders", json=body, headers=headers), 403, "cross-origin")
