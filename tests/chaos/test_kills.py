"""One process after the other is killed while orders go through: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

import pytest

from deploy.deployment import Deployment
from deploy.local.processes import table
from tests.chaos.customer import Customer
from tests.chaos.load import Load
from tests.chaos.shop import ShopUnderTest
from tests.servers import eventually

ORDERS, SEED, EVERY_S = 2_000, 2_026, 5.0
SPARED = {
    "epmd": "tells tools where RabbitMQ is; no order needs it",
    "mail": "stands for somebody else's server",
    "carrier": "stands for somebody else's server",
    "nginx": "its workers outlive a master that is killed, and keep its port",
}
"""Who is not killed, and why."""


def victims_of(stack: Deployment) -> list[str]:
    """Every process of the stack, but for those that are spared."""
    names = [process.name for process in table(stack.env)]
    assert SPARED.keys() <= set(names), "somebody is spared who is not there"
    return [name for name in names if name not in SPARED]


def kill_each(stack: Deployment, victims: list[str]) -> None:
    """SIGKILL every victim, one every few seconds; each is started again."""
    for victim in victims:
        time.sleep(EVERY_S)
        eventually(partial(stack.pid, victim), deadline_s=30, every_s=0.2)
        stack.signal(victim, signal.SIGKILL)


@pytest.mark.feature("F20")
@pytest.mark.feature("F40")
@pytest.mark.feature("F43")
def test_killing_every_worker_projector_replica_and_redis_loses_no_order_no_cent_no_invoice_and_no_message(
    shop: ShopUnderTest,
) -> None:
    victims = victims_of(shop.stack)
    random.Random(SEED).shuffle(victims)
    print(f"seed {SEED}: kills {', '.join(victims)}")  # pytest shows it when the test fails
    load = Load(shop, orders=ORDERS, per_s=ORDERS / (EVERY_S * len(victims)), seed=SEED)
    customer = Customer(shop, surely=False)
    with load.running(), customer.living():
        kill_each(shop.stack, victims)
    assert len(set(load.accepted)) == ORDERS
    report = shop.assert_nothing_lost([*load.accepted, *customer.orders])
    assert len(customer.tasks) > 5
    customer.check()
    assert all(report.statuses[status] for status in ("completed", "rejected", "cancelled", "refunded"))
