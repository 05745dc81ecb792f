"""A customer who wants what takes long: orders, an invoice of each, and a phone that is told of everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from simple_websocket import ConnectionClosed
from simple_websocket import ConnectionError as NotConnected

from sagashop.cli.shop import Shop
from sagashop.web.auth import COOKIE
from tests.chaos.shop import ShopUnderTest, insist, place
from tests.integration.phones_house import PhoneLine
from tests.people import SETTLED
from tests.servers import eventually

DONE_AFTER_S = 90
ORDERS_TAKE_S = 20
NOTICES_OF_AN_ORDER = 4
EVERY_S = 1.0
"""A phone's queue holds 500 messages, so that one that is off line must not be told more."""


class Customer:
    """Whoever it asks may be away for a while: it asks again.

    surely: whether every order must be completed, and soon; else a step of it may have timed out
    """

    def __init__(self, shop: ShopUnderTest, *, surely: bool) -> None:
        self._sku, self._surely, self._made_at, self._numbers = shop.cheap, surely, time.time_ns(), count()
        self.shop: Shop = shop.people.customer()
        self.device = self.shop.post("/api/notifications/devices", {"name": "My phone"})
        self.orders, self.tasks = list[str](), dict[str, str]()
        self.heard = dict[int, Any]()

    def order(self) -> str:
        time.sleep(EVERY_S)
        order_id = place(self.shop, self._sku, f"customer-{self._made_at:x}-{next(self._numbers)}")
        self.orders.append(order_id)
        return order_id

    def order_and_have_it_invoiced(self) -> None:
        """Wait for the order's end, and ask for its invoice."""
        order_id = self.order()
        within_s = ORDERS_TAKE_S if self._surely else DONE_AFTER_S
        status = eventually(lambda: (now := self.status(order_id)) in SETTLED and now, within_s, 0.1)
        assert status == "completed" or not self._surely
        if status == "completed":
            self.want_invoice(order_id)

    @contextmanager
    def living(self) -> Iterator[None]:
        """It orders and has its orders invoiced, its phone on line, while the body runs. Raises what went wrong."""
        stopping, wrong = threading.Event(), list[BaseException]()

        def live() -> None:
            try:
                while not stopping.is_set():
                    self.order_and_have_it_invoiced()
            except BaseException as error:
                wrong.append(error)

        thread = threading.Thread(target=live)
        with self.phone_on_line():
            thread.start()
            try:
                yield
            finally:
                stopping.set()
                thread.join()
        if wrong:
            raise wrong[0]

    @contextmanager
    def phone_on_line(self) -> Iterator[None]:
        """Whenever it is cut off, it connects again."""
        stopping = threading.Event()

        def listen() -> None:
            while not stopping.is_set():
                try:
                    self._listen(stopping)
                except (ConnectionClosed, NotConnected, OSError, AssertionError):  # the last: no greeting came
                    stopping.wait(0.5)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _listen(self, stopping: threading.Event) -> None:
        url = f"{self.shop.url}/api/notifications/devices/{self.device['device_id']}/socket".replace("http", "ws", 1)
        line = PhoneLine(url, self.shop.session.cookies[COOKIE], {})
        try:
            while not stopping.is_set():
                if message := line.next(0.5):
                    self.heard[message["number"]] = message
        finally:
            line.close()

    def status(self, order_id: str) -> str:
        return str(insist(lambda: self.shop.get(f"/api/orders/{order_id}"))["status"])

    def want_invoice(self, order_id: str) -> None:
        """The key makes that one task, however often it is asked for."""
        path, key = f"/api/orders/{order_id}/invoice", {"Idempotency-Key": f"invoice-{order_id}"}
        answer = insist(lambda: self.shop.post(path, {}, **key))
        task = f"/api/orders/tasks/{answer['task_id']}"
        assert self.tasks.setdefault(order_id, task) == task

    def check(self) -> None:
        """Every invoice is made, once, and the phone hears of everything."""
        completed = [order_id for order_id in self.orders if self.status(order_id) == "completed"]
        for order_id in completed:
            self.want_invoice(order_id)
        for task in self.tasks.values():
            eventually(lambda task=task: self._done(task), DONE_AFTER_S, 0.2)  # type: ignore[misc]
        notes = [self.shop.get(task)["note"] for task in self.tasks.values()]
        assert len(set(notes)) == len(notes), "each invoice has a number of its own"
        expected = max(notice["number"] for notice in self.shop.get("/api/notifications/mine")["items"])
        if self._surely:
            assert expected == NOTICES_OF_AN_ORDER * len(self.orders)
        with self.phone_on_line():
            eventually(lambda: len(self.heard) >= expected, DONE_AFTER_S)
        assert sorted(self.heard) == list(range(1, expected + 1))
        told = [message["order_id"] for message in self.heard.values()]
        assert {told.count(order_id) for order_id in completed} <= {NOTICES_OF_AN_ORDER}

    def _done(self, task: str) -> bool:
        found = insist(lambda: self.shop.get(task))
        assert found["status"] in {"queued", "running", "succeeded"}, found
        if found["status"] == "succeeded":
            assert self.shop.send("GET", found["result"]).content.startswith(b"%PDF-")
        return bool(found["status"] == "succeeded")
