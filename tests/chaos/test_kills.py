"""One process after the other is killed while orders go through: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

import pytest

from deploy.deployment import Deployment
from tests.chaos.customer import Customer
from tests.chaos.load import Load
from tests.chaos.shop import ShopUnderTest
from tests.servers import eventually

ORDERS, SEED, EVERY_S = 2_000, 2_026, 5.0
VICTIMS = (
    *("storefront-worker", "orders-worker", "payments-worker", "fulfillment-worker"),
    *("notifications-worker", "notifications-mailer", "notifications-live", "analytics-worker"),
    *("orders-tasks", "fulfillment-carrier", "rabbitmq"),
    *("orders-projector", "payments-projector", "fulfillment-projector"),
    *("orders-web-1", "redis-ledger", "redis-session"),
)


def kill_each(stack: Deployment, *, seed: int) -> None:
    """SIGKILL every victim, one every few seconds in an order of the seed; each is started again."""
    order = random.Random(seed).sample(VICTIMS, len(VICTIMS))
    for victim in order:
        time.sleep(EVERY_S)
        eventually(partial(stack.pid, victim), deadline_s=30, every_s=0.2)
        stack.signal(victim, signal.SIGKILL)


@pytest.mark.feature("F20")
@pytest.mark.feature("F40")
@pytest.mark.feature("F43")
def test_killing_every_worker_projector_replica_and_redis_loses_no_order_no_cent_no_invoice_and_no_message(
    shop: ShopUnderTest,
) -> None:
    load = Load(shop, orders=ORDERS, per_s=ORDERS / (EVERY_S * len(VICTIMS)), seed=SEED)
    customer = Customer(shop, surely=False)
    with load.running(), customer.living():
        kill_each(shop.stack, seed=SEED)
    assert len(set(load.accepted)) == ORDERS
    report = shop.assert_nothing_lost([*load.accepted, *customer.orders])
    assert len(customer.tasks) > 5
    customer.check()
    assert all(report.statuses[status] for status in ("completed", "rejected", "cancelled", "refunded"))
