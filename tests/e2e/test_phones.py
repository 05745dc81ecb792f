"""Phones in a whole stack, through Nginx."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.local.stack import Stack
from sagashop.cli import main
from sagashop.cli.shop import Shop
from sagashop.web.auth import COOKIE
from tests.integration.phones_house import PhoneLine
from tests.people import new_product, place
from tests.servers import eventually


def connect(shop: Shop, device: dict[str, Any]) -> PhoneLine:
    url = f"{shop.url}/api/notifications/devices/{device['device_id']}/socket".replace("http", "ws", 1)
    return PhoneLine(url, shop.session.cookies[COOKIE], {})


@pytest.mark.feature("F40")
def test_a_phone_hears_of_its_order_and_of_the_operators_broadcast(customer: Shop, operator: Shop) -> None:
    device = customer.post("/api/notifications/devices", {"name": "My phone"})
    phone = connect(customer, device)
    sku = new_product(operator, price_cents=1234)
    order = place(customer, sku)
    told: list[dict[str, Any]] = []
    while not told or told[-1]["event"] != "OrderShipped":
        told.append(phone.message())
    assert [message["number"] for message in told] == [1, 2, 3, 4]
    assert {message["order_id"] for message in told} == {order["order_id"]}
    assert "Your order over €12.34 is confirmed." in {message["text"] for message in told}
    operator.post("/api/notifications/broadcasts", {"text": "Only today"})
    assert phone.message()["text"] == "Only today"
    customer.delete(f"/api/notifications/devices/{device['device_id']}")
    assert phone.closed_with()[0] == 4404


@pytest.mark.feature("F40")
def test_while_rabbitmq_is_away_devices_are_registered_and_messages_wait(
    stack: Stack, customer: Shop, operator: Shop
) -> None:
    sku = new_product(operator)
    stack.stop("rabbitmq")
    try:
        device = customer.post("/api/notifications/devices", {"name": "My phone"})
        place(customer, sku)
        if stack.env["BUS"] == "redis":  # else the order's events wait, too
            eventually(lambda: customer.get("/api/notifications/mine")["items"], deadline_s=20)
        assert connect(customer, device).closed_with()[0] == 1013
    finally:
        stack.start("rabbitmq")
    phone = eventually(lambda: stays(customer, device), 60, 0.5)
    assert phone is not None
    assert phone.take(1) == [1]
    operator.call("GET", "/api/notifications/")


def stays(customer: Shop, device: dict[str, Any]) -> PhoneLine | None:
    phone = connect(customer, device)
    return phone if phone.is_open() else None


@pytest.mark.feature("F41")
def test_simulated_phones_come_and_go_and_miss_nothing(stack: Stack) -> None:
    words = ["phones", "--count", "20", "--offline", "30", "--churn", "5", "--seconds", "5"]
    command = ["--env-file", str(stack.env_file), "--url", stack.url, "--json", *words]
    with ThreadPoolExecutor(1) as pool:  # the browser of other tests keeps an event loop in the main thread
        result = pool.submit(CliRunner().invoke, main, command).result(timeout=90)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["missing"] == 0
    assert told["direct sent"] > 0
    assert told["broadcast sent"] >= 20
    for kind in ("direct", "broadcast"):
        assert told[f"{kind} sent"] == told[f"{kind} received"] + told[f"{kind} fetched"]
        assert told[f"{kind} repeated"] >= 0
