"""Phones in a whole stack, through Nginx."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner
from simple_websocket import ConnectionError as NotConnected

from deploy.local.stack import Stack
from sagashop.cli import main
from sagashop.cli.phone_memory import Memory
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
    assert come_again(customer, device).take(1) == [1]
    operator.call("GET", "/api/notifications/")


def come_again(customer: Shop, device: dict[str, Any]) -> PhoneLine:
    phone = eventually(lambda: stays(customer, device), 60, 0.5)
    assert phone is not None
    return phone


def stays(customer: Shop, device: dict[str, Any]) -> PhoneLine | None:
    try:
        phone = connect(customer, device)
    except NotConnected:  # the gateway is not back yet
        return None
    return phone if phone.is_open() else None


def simulate(stack: Stack, *words: str) -> Any:
    """What `sagashop phones` counts of twenty of them; it must have missed nothing."""
    command = ["--env-file", str(stack.env_file), "--url", stack.url, "--json", "phones", "--count", "20", *words]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["missing"] == 0
    for kind in ("direct", "broadcast"):
        assert told[f"{kind} sent"] == told[f"{kind} received"] + told[f"{kind} fetched"] > 0
    return told


@pytest.mark.feature("F41")
def test_simulated_phones_come_and_go_and_miss_nothing(stack: Stack) -> None:
    with ThreadPoolExecutor(1) as pool:  # the browser of other tests keeps an event loop in the main thread
        words = ["--offline", "30", "--churn", "5", "--seconds", "5"]
        told = pool.submit(simulate, stack, *words).result(timeout=90)
    assert told["broadcast sent"] >= 20
    assert told["direct repeated"] + told["broadcast repeated"] == told["repeated"]


@pytest.mark.feature("F41")
def test_phones_whose_gateway_is_killed_come_again_and_miss_nothing(
    stack: Stack, customer: Shop, operator: Shop
) -> None:
    devices = [customer.post("/api/notifications/devices", {"name": "My phone"}) for _ in range(5)]
    memories = [Memory(device["since"]["broadcast"]) for device in devices]
    phones = [connect(customer, device) for device in devices]
    for _ in range(2):
        broadcast(operator, 5)
        for phone, memory in zip(phones, memories, strict=True):
            hear(phone, memory, 2)
            phone.take(1, acknowledge=False)
        stack.signal("notifications-live", signal.SIGKILL)
        assert [phone.was_dropped() for phone in phones] == [True] * 5
        newest = broadcast(operator, 5)
        phones = [come_again(customer, device) for device in devices]
    for phone, memory in zip(phones, memories, strict=True):
        while memory.top < newest:
            hear(phone, memory, 1)
        assert memory.missing == 0


def broadcast(operator: Shop, count: int) -> int:
    """Tell every phone so many things; the number of the last."""
    sent = [operator.post("/api/notifications/broadcasts", {"text": "Only today"}) for _ in range(count)]
    return int(sent[-1]["number"])


def hear(phone: PhoneLine, memory: Memory, count: int) -> None:
    """So many new messages; what it has had comes again in between, and is dropped."""
    while count:
        (number,) = phone.take(1)
        assert number <= memory.top + 1, "the queue has everything, in order"
        count -= memory.hear(number)
