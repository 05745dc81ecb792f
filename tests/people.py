"""Those who use the stack in end-to-end tests, and what they look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis

from sagashop import keys
from sagashop.cli.shop import Refused, Shop
from sagashop.messages import new_id
from tests.servers import eventually

SETTLED = {"completed", "rejected", "cancelled", "refunded"}
WELCOME_CENTS = 50_000
PASSWORD = "correct horse battery"


class People:
    """Makes visitors of one shop."""

    def __init__(self, url: str, env: Mapping[str, str]) -> None:
        self.url, self._env = url, env

    def guest(self) -> Shop:
        return Shop(self.url)

    def operator(self) -> Shop:
        return self.guest().log_in(self._env["OPERATOR_EMAIL"], self._env["OPERATOR_PASSWORD"])

    def customer(self) -> Shop:
        shop = self.guest()
        sign_up(shop)
        eventually(lambda: balance(shop)["available_cents"] == WELCOME_CENTS, deadline_s=15)
        return shop


def sign_up(shop: Shop) -> dict[str, Any]:
    """Make this visitor a customer, by a new e-mail address."""
    body = {"name": "Test Customer", "email": f"{new_id()}@sagashop.example", "password": PASSWORD}
    answer: dict[str, Any] = shop.post("/api/customers", body)
    return answer


def balance(shop: Shop) -> dict[str, int]:
    """What is on the account; nothing as long as the account is not open."""
    answer = shop.send("GET", "/api/accounts/me")
    account: dict[str, int] = answer.json() if answer.ok else {"available_cents": 0, "held_cents": 0}
    return account


@contextmanager
def planted(ledger: redis.Redis, channel: str, fields: dict[Any, Any]) -> Iterator[None]:
    """A stream entry of the test's own. It is taken out at the end: a group that is made again would read it again."""
    entry: Any = ledger.xadd(keys.stream(channel), fields)
    try:
        yield
    finally:
        ledger.xdel(keys.stream(channel), entry)


def new_product(operator: Shop, *, price_cents: int = 1000, stock: int = 20) -> str:
    """A product of the test's own, known to orders and on the shelf with just this stock."""
    sku = f"TEST-{new_id()[:10].upper()}"
    body = {
        "sku": sku,
        "name": f"Test piece {sku}",
        "category": "test",
        "description": "For a test.",
        "price_cents": price_cents,
    }
    operator.post("/api/products", body)
    eventually(lambda: operator.send("GET", f"/api/stock/{sku}").ok, deadline_s=15)
    shelf(operator, sku, stock)
    return sku


def shelf(operator: Shop, sku: str, stock: int) -> None:
    """Bring the shelf to this stock: new products arrive with OPENING_STOCK pieces, of which nobody has any yet."""
    missing = stock - stock_of(operator, sku)["available"]
    if missing > 0:
        operator.post(f"/api/stock/{sku}/restock", {"quantity": missing})


def stock_of(shop: Shop, sku: str) -> dict[str, int]:
    answer: dict[str, int] = shop.get(f"/api/stock/{sku}")
    return answer


def place(shop: Shop, sku: str, quantity: int = 1, **headers: str) -> dict[str, Any]:
    """Order so many of one product; a new one may reach fulfillment a moment before it reaches orders."""

    def ask() -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = shop.post(
                "/api/orders", {"lines": [{"sku": sku, "quantity": quantity}]}, **headers
            )
        except Refused as refused:
            if refused.kind != "unknown-product":
                raise
            return None
        return answer

    return eventually(ask, deadline_s=10, every_s=0.2) or {}


def status_of(shop: Shop, order_id: str) -> str:
    return str(shop.get(f"/api/orders/{order_id}")["status"])


def settled(shop: Shop, order_id: str, deadline_s: float = 30) -> str:
    """The order's status once nothing is under way."""

    def ask() -> str | None:
        status = status_of(shop, order_id)
        return status if status in SETTLED else None

    return str(eventually(ask, deadline_s=deadline_s))
