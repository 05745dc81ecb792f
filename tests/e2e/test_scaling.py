"""Replicas of the orders API come and go while customers look and buy, and nobody notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from deploy.deployment import Deployment
from sagashop.cli.shop import Shop
from sagashop.errors import NotReachable
from tests.people import new_product
from tests.servers import eventually


class Visitor:
    """Looks at the orders and buys by turns, on new connections and on one that stays open."""

    def __init__(self, stack: Deployment, customer: Shop, sku: str) -> None:
        self.url, self.cookies, self.sku = stack.url, customer.session.cookies, sku
        self.answers: list[int] = []
        self.sent_again: list[str] = []

    def visit(self, until: threading.Event) -> None:
        stays = self.shop()
        while not until.is_set():
            for look_or_buy in (self.look, self.buy):
                look_or_buy(self.shop())  # a connection for this request alone: nothing excuses its loss
                try:
                    look_or_buy(stays)
                except NotReachable:  # Nginx may close an idle connection just as it is used again: any client resends
                    self.sent_again.append(look_or_buy.__name__)
                    look_or_buy(stays)

    def shop(self) -> Shop:
        shop = Shop(self.url)
        shop.session.cookies.update(self.cookies)
        return shop

    def look(self, shop: Shop) -> None:
        self.answers.append(shop.send("GET", "/api/orders").status_code)

    def buy(self, shop: Shop) -> None:
        body = {"lines": [{"sku": self.sku, "quantity": 1}]}  # and no key: Nginx must not send it twice
        self.answers.append(shop.send("POST", "/api/orders", json=body).status_code)

    @contextmanager
    def visiting(self) -> Iterator[None]:
        stop = threading.Event()
        with ThreadPoolExecutor(3) as pool:
            visits = [pool.submit(self.visit, stop) for _ in range(3)]
            try:
                yield
            finally:
                stop.set()
        for each in visits:
            each.result()


@pytest.mark.feature("F50")
@pytest.mark.timeout(180)
def test_a_replica_joins_and_leaves_and_no_request_is_lost(
    stack: Deployment, customer: Shop, operator: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    visitor = Visitor(stack, customer, new_product(operator, price_cents=1, stock=5000))
    with visitor.visiting():
        stack.scale(3)
        three = stack.matching("orders-web")
        eventually(lambda: len(visitor.answers) > 50)
        stack.scale(2)
        after = len(visitor.answers)
        eventually(lambda: len(visitor.answers) > after + 50)
    with capsys.disabled():  # what is excused is seen in every run
        again, all_answers = len(visitor.sent_again), len(visitor.answers)
        print(f" [sent again since Nginx had closed a kept connection: {again} of {all_answers} requests] ", end="")
    assert (len(three), len(stack.matching("orders-web"))) == (3, 2)
    assert set(visitor.answers) == {200, 202}
