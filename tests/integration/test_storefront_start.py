"""Several storefront processes starting at once, and the worker process itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from contracts.orders import Line, OrderPlaced
from sagashop import redis_clients, sql
from sagashop.bus import connect_bus
from sagashop.effects import Effects
from services.storefront.app import build
from services.storefront.carts import Carts, customer
from services.storefront.passwords import Passwords
from services.storefront.seed import first_products
from services.storefront.settings import StorefrontSettings
from services.storefront.tables import customers, products
from tests.servers import eventually

pytestmark = pytest.mark.sql


@pytest.fixture
def settings(redis_ledger: str, redis_session: str, database_url: str) -> StorefrontSettings:
    return StorefrontSettings(
        redis_ledger_url=redis_ledger,
        redis_session_url=redis_session,
        database_url=database_url,
        demo_email="demo@sagashop.example",
        demo_password="demo password",
    )


@pytest.mark.feature("F51")
def test_processes_that_start_at_once_seed_the_shop_once(settings: StorefrontSettings) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: build(settings, connect_bus(settings), Passwords(8)), range(6)))
    with sql.engine(settings.database_url).connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(products)) == sum(
            map(len, first_products().values())
        )
        assert connection.scalar(sa.select(sa.func.count()).select_from(customers)) == 1


def test_the_worker_relays_prices_and_empties_the_ordered_cart(settings: StorefrontSettings) -> None:
    build(settings, connect_bus(settings), Passwords(8))
    redis = redis_clients.session(settings)
    carts = Carts(redis, ttl_s=1_000)
    ordered = carts.change(customer("c1"), "MUG-TERRA-01", 2, "visitor").cart
    changed = carts.change(customer("c2"), "MUG-TERRA-01", 1).cart
    carts.change(customer("c2"), "STA-PEN-03", 1, "visitor")
    bus, ledger = connect_bus(settings), redis_clients.ledger(settings)
    for customer_id, cart in (("c1", ordered), ("c2", changed)):
        bus.admit("orders", Effects(emit=[placed(customer_id, cart.id, cart.version)]))
    env = {
        **os.environ,
        "REDIS_LEDGER_URL": settings.redis_ledger_url,
        "REDIS_SESSION_URL": settings.redis_session_url,
        "DATABASE_URL": settings.database_url,
        "WORKER_NAME": "storefront-worker-1",
    }
    process = subprocess.Popen([sys.executable, "-m", "services.storefront.worker"], env=env)
    try:
        behaviour = "{0}:storefront:behaviour"
        eventually(lambda: str(ledger.xrange(behaviour)).count('"kind":"purchase"') == 2, deadline_s=20)
        eventually(lambda: ledger.xlen("{0}:storefront:events") == 65)
        assert carts.get(customer("c1")).quantities == {}
        assert carts.get(customer("c2")).quantities == {"MUG-TERRA-01": 1, "STA-PEN-03": 1}
        told = str(ledger.xrange(behaviour))
        assert told.count('"visitor_id":"visitor"') == 2
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def placed(customer_id: str, cart_id: str | None, version: int) -> OrderPlaced:
    return OrderPlaced(
        order_id=f"order-of-{customer_id}", customer_id=customer_id,
        lines=[Line(sku="MUG-TERRA-01", quantity=2)], total_cents=2980, cart_id=cart_id, cart_version=version,
    )  # fmt: skip
