"""redis-ledger fills up: new orders are refused, what was accepted is finished, and it recovers by itself."""

from __future__ import annotations

import contextlib
from typing import Any

import redis

from tests.chaos.load import Load
from tests.chaos.shop import ShopUnderTest, insist, place

MEGABYTE = 1_000_000
BALLAST = "ballast:{}"
ROOM = 30 * MEGABYTE


def fill(ledger: redis.Redis) -> None:
    """Write until the server says that it is full."""
    with contextlib.suppress(redis.exceptions.OutOfMemoryError):
        for number in range(1_000):
            ledger.set(BALLAST.format(number), b"x" * MEGABYTE)
    for size in (100_000, 10_000, 1_000):
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            for number in range(100):
                ledger.append(BALLAST.format(number), b"x" * size)


def test_a_full_ledger_refuses_orders_finishes_what_it_has_and_recovers_by_itself(
    shop: ShopUnderTest, ledger: redis.Redis
) -> None:
    memory: Any = ledger.info("memory")
    before = memory["maxmemory"]
    pids = {process["name"]: process["pid"] for process in shop.stack.ps()}
    customer = shop.people.customer()
    load = Load(shop, orders=200, per_s=100, seed=8)
    shop.operator.post("/admin/payments/pause")
    try:
        load.run()
        ledger.config_set("maxmemory", memory["used_memory"] + ROOM)
        fill(ledger)
        body = {"lines": [{"sku": shop.cheap, "quantity": 1}]}
        refused = customer.send("POST", "/api/orders", json=body)
        assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (503, True)
        shop.operator.post("/admin/payments/resume")
        report = shop.settle()  # the ledger is still full
        assert customer.send("POST", "/api/orders", json=body).status_code == 503
        report.assert_all(load.accepted)
    finally:
        ledger.delete(*(BALLAST.format(number) for number in range(1_000)))
        ledger.config_set("maxmemory", before)
        insist(lambda: shop.operator.post("/admin/payments/resume"))
    order_id = place(customer, shop.cheap, "after-the-flood")
    report = shop.assert_nothing_lost([*load.accepted, order_id])
    assert report.orders[order_id] == "completed"
    assert {process["name"]: process["pid"] for process in shop.stack.ps()} == pids, "nobody had to be restarted"
