"""What Nginx does for everybody: routes, replicas, limits, headers, documents."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.deployment import Deployment
from deploy.local.processes import table
from sagashop.cli.shop import Shop
from sagashop.messages import new_id
from tests.people import new_product, place, settled
from tests.servers import eventually

SERVICES = ("storefront", "orders", "payments", "fulfillment", "notifications", "analytics", "chat")


@pytest.mark.feature("F56")
def test_every_process_says_that_it_lives_and_is_ready(stack: Deployment) -> None:
    assert set(stack.services) == {process.name for process in table(stack.env) if process.service}
    for process in stack.services:
        for path in ("/livez", "/readyz"):
            answer = requests.get(stack.inside(process) + path, timeout=5)
            assert answer.status_code == 200, (process, path, answer.text)


@pytest.mark.feature("F54")
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_an_openapi_document_and_a_page_for_it(guest: Shop, service: str) -> None:
    document = guest.get(f"/docs/{service}/openapi.json")
    assert document["openapi"].startswith("3.")
    assert any(path.startswith("/api/") for path in document["paths"])
    page = guest.send("GET", f"/docs/{service}/")
    assert page.status_code == 200
    assert "swagger" in page.text.lower()


@pytest.mark.feature("F50")
def test_two_replicas_take_orders_and_share_the_session(stack: Deployment, customer: Shop, operator: Shop) -> None:
    sku = new_product(operator)
    cookies = customer.session.cookies.get_dict()
    replicas = stack.matching("orders-web")
    assert len(replicas) == 2
    for replica in replicas:
        answer = requests.post(
            stack.inside(replica) + "/api/orders",
            json={"lines": [{"sku": sku, "quantity": 1}]},
            cookies=cookies,
            timeout=5,
        )
        assert answer.status_code == 202, answer.text


def another(stack: Deployment, shop: Shop) -> Shop:
    """The same customer on a connection of its own."""
    copy = Shop(stack.url)
    copy.session.cookies.update(shop.session.cookies)
    return copy


def whole(ask: Callable[[], requests.Response]) -> requests.Response:
    """The answer; asked again where a replica died in the middle of it, which Nginx cannot take back any more."""
    try:
        return ask()
    except requests.exceptions.ChunkedEncodingError:
        return ask()


@pytest.mark.feature("F50")
def test_killing_a_replica_loses_no_request_that_may_be_repeated(
    stack: Deployment, customer: Shop, operator: Shop
) -> None:
    order_id = place(customer, new_product(operator))["order_id"]

    def ask(number: int) -> int:
        if number in (40, 80):
            stack.signal("orders-web-1", signal.SIGKILL)
        return whole(lambda: another(stack, customer).send("GET", f"/api/orders/{order_id}")).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(200))) == {200}
    stack.wait_ready("orders-web-1")


def test_orders_placed_while_a_replica_dies_are_placed_once(stack: Deployment, customer: Shop, operator: Shop) -> None:
    sku = new_product(operator, price_cents=1)

    def order(number: int) -> str:
        if number == 20:
            stack.signal("orders-web-2", signal.SIGKILL)
        shop, key = another(stack, customer), {"Idempotency-Key": new_id()}
        body = {"lines": [{"sku": sku, "quantity": 1}]}
        answer = whole(lambda: shop.send("POST", "/api/orders", json=body, headers=key))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["order_id"])

    with ThreadPoolExecutor(4) as pool:
        placed = list(pool.map(order, range(60)))
    assert len(set(placed)) == 60
    for order_id in placed:
        assert settled(customer, order_id) == "completed"
    eventually(lambda: len(customer.get("/api/orders", limit=100)["items"]) == 60, deadline_s=15)
    stack.wait_ready("orders-web-2")


@pytest.mark.feature("F50")
def test_answers_carry_security_headers_and_a_request_id(guest: Shop) -> None:
    page = guest.send("GET", "/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    answer = guest.send("GET", "/api/products", headers={"X-Request-ID": "my-own-request-1"})
    assert answer.headers["X-Request-ID"] == "my-own-request-1"
    assert guest.send("GET", "/api/products").headers["X-Request-ID"]


@pytest.mark.feature("F50")
def test_a_service_that_is_down_is_answered_with_a_useful_problem(stack: Deployment, guest: Shop) -> None:
    stack.stop("analytics-web")
    try:
        answer = guest.send("GET", "/api/analytics/summary")
    finally:
        stack.start("analytics-web")
    assert answer.status_code == 503
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.feature("F30")
def test_logging_out_everywhere_ends_every_session(stack: Deployment, people: object, guest: Shop) -> None:
    body = {"name": "Test Customer", "email": f"{new_id()}@sagashop.example", "password": "correct horse battery"}
    guest.post("/api/customers", body)
    elsewhere = Shop(stack.url).log_in(body["email"], body["password"])
    assert elsewhere.get("/api/session")["logged_in"] is True
    guest.delete("/api/session/everywhere")
    assert elsewhere.get("/api/session")["logged_in"] is False
    assert elsewhere.send("GET", "/api/orders").status_code == 401
