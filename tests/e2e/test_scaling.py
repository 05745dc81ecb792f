"""Replicas of the orders API come and go while customers look and buy, and nobody notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.deployment import Deployment
from sagashop.cli.shop import Shop
from tests.people import new_product
from tests.servers import eventually


class Visitor:
    """Looks at the orders and buys by turns, on a new connection each time as on one that stays open."""

    def __init__(self, stack: Deployment, customer: Shop, sku: str) -> None:
        self.url, self.cookies, self.sku = stack.url, customer.session.cookies, sku
        self.answers: list[int | str] = []

    def visit(self, until: threading.Event) -> None:
        stays = self.shop()
        while not until.is_set():
            for shop in (stays, self.shop()):
                self.note(shop, "GET", "/api/orders")
                self.note(shop, "POST", "/api/orders", json={"lines": [{"sku": self.sku, "quantity": 1}]})

    def shop(self) -> Shop:
        shop = Shop(self.url)
        shop.session.cookies.update(self.cookies)
        return shop

    def note(self, shop: Shop, method: str, path: str, **options: object) -> None:
        try:
            self.answers.append(shop.send(method, path, **options).status_code)
        except Exception as error:
            self.answers.append(repr(error))

    @contextmanager
    def visiting(self) -> Iterator[None]:
        stop = threading.Event()
        threads = [threading.Thread(target=self.visit, args=[stop]) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@pytest.mark.feature("F50")
@pytest.mark.timeout(180)
def test_a_replica_joins_and_leaves_and_no_request_is_lost(stack: Deployment, customer: Shop, operator: Shop) -> None:
    visitor = Visitor(stack, customer, new_product(operator, price_cents=1, stock=5000))
    with visitor.visiting():
        stack.scale(3)
        three = stack.matching("orders-web")
        eventually(lambda: len(visitor.answers) > 50)
        stack.scale(2)
        after = len(visitor.answers)
        eventually(lambda: len(visitor.answers) > after + 50)
    assert (len(three), len(stack.matching("orders-web"))) == (3, 2)
    assert set(visitor.answers) == {200, 202}
