"""RabbitMQ goes away under load: orders are confirmed all the same, and what waits for it arrives when it is back.

Where it is the bus, too, orders are accepted all the same, and are carried out when it is back.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from itertools import count

import pytest

from sagashop.cli.shop import Shop
from sagashop.web.auth import COOKIE
from tests.chaos.load import Load
from tests.chaos.shop import LocalShop, insist, place
from tests.integration.phones_house import PhoneLine
from tests.people import settled, status_of
from tests.servers import eventually

SEED, PER_S = 5_672, 12.0
AWAY_S, KILLS, BETWEEN_KILLS_S = 60.0, 3, 12.0
DONE_AFTER_S = 90
ORDERS_TAKE_S = 20
NOTICES_OF_AN_ORDER = 4
EVERY_S = 1.0
"""A phone's queue holds 500 messages, so that one that is off line must not be told more."""


class Customer:
    """Orders, asks for an invoice of each order, and has a phone that is off line until `check`."""

    def __init__(self, shop: LocalShop, keys: Callable[[], str]) -> None:
        self._sku, self._keys, self._confirmed_meanwhile = shop.cheap, keys, shop.bus == "redis"
        self.shop: Shop = shop.people.customer()
        self.device = self.shop.post("/api/notifications/devices", {"name": "My phone"})
        self.orders, self.tasks = list[str](), dict[str, str]()

    def go_on(self) -> None:
        """One order; on Redis through to its end, and its invoice: the answers that must not wait for RabbitMQ."""
        time.sleep(EVERY_S)
        order_id = place(self.shop, self._sku, self._keys())
        self.orders.append(order_id)
        if self._confirmed_meanwhile:
            assert settled(self.shop, order_id, deadline_s=ORDERS_TAKE_S) == "completed"
            self._want_invoice(order_id)

    def _want_invoice(self, order_id: str) -> None:
        answer = insist(lambda: self.shop.post(f"/api/orders/{order_id}/invoice", {}))
        self.tasks[order_id] = f"/api/orders/tasks/{answer['task_id']}"

    def check(self) -> None:
        """Every invoice is made, and every message reaches the phone, once and in order."""
        for order_id in self.orders:
            if order_id not in self.tasks and status_of(self.shop, order_id) == "completed":
                self._want_invoice(order_id)
        for task in self.tasks.values():
            eventually(lambda task=task: self._done(task), DONE_AFTER_S, 0.2)  # type: ignore[misc]
        expected = max(notice["number"] for notice in self.shop.get("/api/notifications/mine")["items"])
        if self._confirmed_meanwhile:  # else a step may have timed out
            assert expected == NOTICES_OF_AN_ORDER * len(self.orders)
        url = f"{self.shop.url}/api/notifications/devices/{self.device['device_id']}/socket".replace("http", "ws", 1)
        phone = PhoneLine(url, self.shop.session.cookies[COOKIE], {})
        seen = list(dict.fromkeys(phone.take(expected)))
        while len(seen) < expected:  # a copy came in between
            seen = list(dict.fromkeys([*seen, *phone.take(1)]))
        phone.close()
        assert seen == list(range(1, expected + 1))

    def _done(self, task: str) -> bool:
        status = insist(lambda: self.shop.get(task))["status"]
        assert status in {"queued", "running", "succeeded"}
        return bool(status == "succeeded")


@pytest.fixture
def customer(shop: LocalShop) -> Customer:
    numbers = count()
    return Customer(shop, lambda: f"rabbit-{time.time_ns():x}-{next(numbers)}")


@pytest.mark.feature("F43")
def test_a_minute_without_rabbitmq_delays_long_work_and_phones_and_loses_nothing(
    shop: LocalShop, customer: Customer
) -> None:
    load = Load(shop, orders=int(PER_S * AWAY_S), per_s=PER_S, seed=SEED)
    customer.go_on()
    with load.running():
        shop.stack.stop("rabbitmq")
        try:
            back_at = time.monotonic() + AWAY_S
            while time.monotonic() < back_at:
                customer.go_on()
        finally:
            shop.stack.start("rabbitmq")
        customer.go_on()
    assert len(customer.orders) > 5
    shop.assert_nothing_lost([*load.accepted, *customer.orders])  # and every parcel is booked
    customer.check()


@pytest.mark.feature("F43")
def test_rabbitmq_killed_three_times_under_load_loses_nothing(shop: LocalShop, customer: Customer) -> None:
    load = Load(shop, orders=int(PER_S * BETWEEN_KILLS_S * KILLS), per_s=PER_S, seed=SEED + 1)
    with load.running():
        for _ in range(KILLS):
            eventually(lambda: shop.stack.pid("rabbitmq"), deadline_s=60, every_s=0.2)
            shop.stack.signal("rabbitmq", signal.SIGKILL)
            until = time.monotonic() + BETWEEN_KILLS_S
            while time.monotonic() < until:
                customer.go_on()
    shop.stack.wait_ready("rabbitmq", 60)
    shop.assert_nothing_lost([*load.accepted, *customer.orders])  # and every parcel is booked
    customer.check()
