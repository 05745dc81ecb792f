"""A stack together with those who use it, break it and examine it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import pika
import redis

from deploy.deployment import Deployment
from deploy.local.stack import Stack
from sagashop.audit.auditor import Auditor, Report
from sagashop.cli.audit import FrontDoor
from sagashop.cli.shop import Refused, Shop
from sagashop.errors import NotReachable
from tests.people import People, new_product

QUIET_S = 150
T = TypeVar("T")


class ShopUnderTest:
    """What every test of this folder needs. Products and the operator are made once."""

    def __init__(self, stack: Deployment) -> None:
        self.stack, self.people = stack, People(stack.url, stack.env)
        self.operator = self.people.operator()
        self.auditor = Auditor(FrontDoor(self.operator))
        self.cheap = new_product(self.operator, price_cents=10, stock=50_000)
        self.dear = new_product(self.operator, price_cents=150_000, stock=5_000)
        self.scarce = new_product(self.operator, price_cents=10, stock=0)

    @property
    def bus(self) -> str:
        """`redis` or `rabbitmq`."""
        return self.stack.env["BUS"]

    @contextmanager
    def rabbitmq(self) -> Iterator[Any]:
        """A channel of RabbitMQ's administrator, to look and meddle."""
        url = pika.URLParameters(self.stack.addresses["RABBITMQ_URL"])
        with closing(pika.BlockingConnection(url)) as connection:
            yield connection.channel()

    def ledger(self) -> redis.Redis:
        """A client that may do everything; it does not retry by itself."""
        return redis.Redis.from_url(self.stack.addresses["REDIS_LEDGER_URL"], decode_responses=True)

    def settle(self) -> Report:
        """The report once nothing is under way any more."""
        quiet = self.auditor.wait_until_quiet(QUIET_S)
        report = insist(self.auditor.report)
        assert quiet, f"still at work after {QUIET_S} s: {[(c.house, c.name, c.examples) for c in report.wrong]}"
        return report

    def assert_nothing_lost(self, accepted: Iterable[str]) -> Report:
        """Wait until it is quiet; then every check of the audit holds, and every accepted order is there."""
        report = self.settle()
        report.assert_all(accepted)
        return report


class LocalShop(ShopUnderTest):
    """One of processes of this machine, beside which others may be started."""

    stack: Stack


def insist(do: Callable[[], T], within_s: float = 90) -> T:
    """Do it again while the shop is away or busy, as a patient customer does; other refusals are raised."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return do()
        except (NotReachable, Refused) as away:
            lasting = isinstance(away, Refused) and away.status < 500 and away.status != 429
            if lasting or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def place(shop: Shop, sku: str, key: str, quantity: int = 1) -> str:
    """Order it, however often it takes; the key makes that one order."""
    body = {"lines": [{"sku": sku, "quantity": quantity}]}
    return str(insist(lambda: shop.post("/api/orders", body, **{"Idempotency-Key": key}))["order_id"])


def cancel(shop: Shop, order_id: str) -> None:
    """Cancel it, however often it takes; an order that the shop has refused meanwhile cannot be cancelled."""
    try:
        insist(lambda: shop.post(f"/api/orders/{order_id}/cancellation", {"reason": "changed my mind"}))
    except Refused as late:
        if late.kind != "too-late":
            raise
