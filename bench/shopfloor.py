"""A running stack to be measured: its settings, its buyers, and what its ledger tells."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
import redis

from bench import client
from deploy.local.stack import Stack
from sagashop import keys
from sagashop.cli.shop import Shop
from sagashop.cli.traffic import products
from sagashop.messages import new_id

SETTINGS = {
    "STOCK_TIMEOUT_S": "600",
    "PAYMENT_TIMEOUT_S": "600",
    "CAPTURE_TIMEOUT_S": "600",
    "SHIPMENT_TIMEOUT_S": "600",
    "VISIBILITY_S": "60",
    "OPENING_STOCK": "100000000",
    "WELCOME_CREDIT_CENTS": "100000000000",
    "RATE_GENERAL": "1000000r/s",
    "RATE_LOGIN": "1000000r/s",
    "RATE_SIGNUP": "1000000r/s",
    "RABBITMQ_MEMORY": "3GiB",
    "PHONE_QUEUE_LENGTH": "1000000",
}
"""Nothing may run out, nothing may time out, and nobody is slowed down: what is left is the work itself."""
BUYERS = 50


class Shopfloor:
    """A running stack, with buyers who are logged in and the ledger to look at."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ledger = redis.Redis.from_url(stack.addresses["REDIS_LEDGER_URL"], decode_responses=True)
        self.sku = str(products(stack.url)[0]["sku"])

    def cookies(self, count: int) -> list[str]:
        """Sessions of new customers, as Cookie headers."""
        return [_cookie(self.stack.url) for _ in range(count)]

    def orders(self, cookies: list[str]) -> Iterator[bytes]:
        """POST /api/orders of one piece, each with a key of its own."""
        body = json.dumps({"lines": [{"sku": self.sku, "quantity": 1}]}).encode()
        numbers = (f"{new_id()}-{number}" for number in itertools.count())
        return client.requests_to(self.stack.url, "/api/orders", cookies, body, numbers)

    def reports(self) -> Iterator[bytes]:
        """POST /api/reports/sales of a day without sales, each with a key of its own."""
        env, shop = self.stack.env, Shop(self.stack.url)
        shop.log_in(env["OPERATOR_EMAIL"], env["OPERATOR_PASSWORD"])
        body = json.dumps({"from": "2020-01-01", "to": "2020-01-01", "format": "csv"}).encode()
        numbers = (f"{new_id()}-{number}" for number in itertools.count())
        return client.requests_to(self.stack.url, "/api/reports/sales", [_cookies_of(shop)], body, numbers)

    def events_after(self, start: str) -> list[tuple[str, str, str]]:
        """(entry id, type, aggregate) of everything on orders.events after this id."""
        found: list[tuple[str, str, str]] = []
        while True:
            page: Any = self.ledger.xrange(keys.stream("orders.events"), min=f"({start}", count=5000)
            if not page:
                return found
            found += [(entry, fields["type"], fields["aggregate"]) for entry, fields in page]
            start = page[-1][0]

    def mark(self) -> str:
        """The newest entry of orders.events."""
        newest: Any = self.ledger.xrevrange(keys.stream("orders.events"), count=1)
        return str(newest[0][0]) if newest else "0-0"

    def wait_confirmed(self, start: str, orders: int, within_s: float) -> list[tuple[str, str, str]]:
        """Events after `start` once so many orders are confirmed.

        They are read when the newest order has moved on: to read them all the while would cost as much as one more
        service that hears them, and be counted as the shop's own work.
        """
        deadline, confirmed, newest = time.monotonic() + within_s, 0, self._newest_order()
        while time.monotonic() < deadline:
            time.sleep(0.3)
            if self.ledger.hget(keys.own("orders", "order", newest), "status") != "placed":
                events = self.events_after(start)
                confirmed = sum(kind == "OrderConfirmed" for _, kind, _ in events)
                if confirmed >= orders:
                    return events
        raise click.ClickException(f"only {confirmed} of {orders} orders were confirmed within {within_s:g} s")

    def _newest_order(self) -> str:
        last: Any = self.ledger.xrevrange(keys.stream("orders.events"), count=1000)
        placed = [str(fields["aggregate"]) for _, fields in last if fields["type"] == "OrderPlaced"]
        return placed[0].removeprefix("order:") if placed else ""

    def settle(self, within_s: float = 180) -> None:
        """Wait until nobody has anything to read or to finish."""
        deadline = time.monotonic() + within_s
        while self._busy() and time.monotonic() < deadline:
            time.sleep(0.3)

    def _busy(self) -> bool:
        for channel in (
            "orders.events",
            "fulfillment.commands",
            "fulfillment.events",
            "payments.commands",
            "payments.events",
        ):
            for group in self.ledger.xinfo_groups(keys.stream(channel)):
                if group["pending"] or group["lag"]:
                    return True
        return False

    def pause(self, services: Sequence[str]) -> None:
        for service in services:
            self.ledger.set(keys.paused(service), "bench")
        time.sleep(2.5)

    def resume(self, services: Sequence[str]) -> None:
        self.ledger.delete(*[keys.paused(service) for service in services])


def _cookie(url: str) -> str:
    shop = Shop(url)
    body = {"name": "Bench Customer", "email": f"{new_id()}@sagashop.example", "password": new_id()}
    shop.post("/api/customers", body)
    return _cookies_of(shop)


def _cookies_of(shop: Shop) -> str:
    return "; ".join(f"{name}={value}" for name, value in shop.session.cookies.get_dict().items())
