"""Servers go away and come back, and a bad message comes in: the shop says so, and goes on by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from deploy.deployment import Deployment
from sagashop import keys
from sagashop.cli.shop import Shop
from tests.people import new_product, place, settled
from tests.servers import eventually


@pytest.fixture
def ledger(stack: Deployment) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.addresses["REDIS_LEDGER_URL"], decode_responses=True) as client:
        yield client


@pytest.mark.parametrize("server", ["redis-ledger", "redis-session"])
def test_redis_down_is_answered_within_two_seconds_and_service_resumes_by_itself(
    stack: Deployment, customer: Shop, operator: Shop, server: str
) -> None:
    sku = new_product(operator)
    body = {"lines": [{"sku": sku, "quantity": 1}]}
    stack.stop(server)
    try:
        started = time.monotonic()
        answer = customer.send("POST", "/api/orders", json=body)
        took_s = time.monotonic() - started
    finally:
        stack.start(server)
    assert answer.status_code == 503, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) >= 1
    assert took_s < 2
    order = eventually(lambda: accepted(customer, body), deadline_s=20)
    assert settled(customer, order["order_id"], deadline_s=40) == "completed"


@pytest.mark.feature("F14")
def test_a_malformed_entry_becomes_a_dead_letter_and_the_group_goes_on(
    ledger: redis.Redis, customer: Shop, operator: Shop
) -> None:
    stream = keys.stream("fulfillment.commands")
    ledger.xadd(
        stream, {"type": "ReserveStock", "data": "{not json", "id": "bad-1", "time_ms": "1", "producer": "test"}
    )
    ledger.xadd(stream, {b"\xff\xfe": b"\x80\x81"})
    order = place(customer, new_product(operator))
    assert settled(customer, order["order_id"]) == "completed"
    eventually(lambda: len(dead(operator)) >= 2, deadline_s=15)
    letters = dead(operator)
    assert all(letter["reason"].startswith("malformed") for letter in letters)
    for letter in letters:
        operator.delete(f"/admin/fulfillment/dead-letters/{letter['id']}")
    assert dead(operator) == []


def accepted(shop: Shop, body: Any) -> dict[str, Any]:
    answer = shop.send("POST", "/api/orders", json=body)
    order: dict[str, Any] = answer.json() if answer.ok else {}
    return order


def dead(operator: Shop) -> list[dict[str, str]]:
    letters: list[dict[str, str]] = operator.get("/admin/fulfillment/dead-letters")["items"]
    return letters


@pytest.mark.feature("F14")
def test_a_dead_letter_is_mended_and_replayed(ledger: redis.Redis, customer: Shop, operator: Shop) -> None:
    order = place(customer, new_product(operator), Prefer="wait=5")
    fields: dict[Any, Any] = {
        "type": "ReserveStock",
        "version": "1",
        "id": "mend-me",
        "time_ms": "1",
        "producer": "test",
        "data": "[]",
    }
    ledger.xadd(keys.stream("fulfillment.commands"), fields)
    letter = eventually(lambda: dead(operator), deadline_s=15)[0]
    mended = {"data": json.dumps({"order_id": order["order_id"], "items": []})}
    operator.post(f"/admin/fulfillment/dead-letters/{letter['id']}/replay", {"changes": mended})
    eventually(lambda: ledger.xlen(keys.replay("fulfillment")) >= 1, deadline_s=10)
    eventually(lambda: pending(ledger, "fulfillment") == 0, deadline_s=10)
    assert dead(operator) == []


def pending(ledger: redis.Redis, service: str) -> int:
    groups = ledger.xinfo_groups(keys.replay(service))
    return sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)


def test_a_lost_group_is_made_again_and_orders_go_on(ledger: redis.Redis, customer: Shop, operator: Shop) -> None:
    sku = new_product(operator)
    ledger.xgroup_destroy(keys.stream("payments.commands"), "payments")
    order = place(customer, sku)
    assert settled(customer, order["order_id"], deadline_s=40) == "completed"
    for letter in operator.get("/admin/payments/dead-letters")["items"]:  # what died in this stream before, again
        operator.delete(f"/admin/payments/dead-letters/{letter['id']}")


def test_a_paused_service_waits_and_goes_on_after_resume(customer: Shop, operator: Shop) -> None:
    sku = new_product(operator)
    operator.post("/admin/fulfillment/pause")
    try:
        eventually(lambda: operator.get("/admin/fulfillment/status")["paused"] is True, deadline_s=5)
        time.sleep(1.5)  # the worker looks at the switch once a second
        order = place(customer, sku)
        answer = customer.get(f"/api/orders/{order['order_id']}")
        assert answer["status"] == "placed"
    finally:
        operator.post("/admin/fulfillment/resume")
    assert settled(customer, order["order_id"]) == "completed"
