"""Processes are killed while orders go through, and no order, piece or cent is lost or doubled."""

from __future__ import annotations

import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from deploy.deployment import Deployment
from sagashop.cli.shop import Shop
from sagashop.messages import new_id
from tests.people import WELCOME_CENTS, People, balance, new_product, place, settled, status_of, stock_of
from tests.servers import eventually

ORDERS, PRICE_CENTS, BUYERS = 900, 100, 6
VICTIMS = (
    *("orders-worker", "payments-worker", "orders-web-1", "fulfillment-worker", "orders-projector"),
    "fulfillment-carrier",
)


def kill_in_turn(stack: Deployment, stopping: threading.Event, killed: list[str], *, every_s: float, seed: int) -> None:
    """SIGKILL one process after the other; each is started again."""
    chance = random.Random(seed)
    victims = list(VICTIMS)
    chance.shuffle(victims)
    for victim in cycle(victims):
        if stopping.wait(every_s):
            return
        if stack.pid(victim):
            stack.signal(victim, signal.SIGKILL)
            killed.append(victim)


def buy(shop: Shop, sku: str, count: int) -> list[str]:
    """Place orders one after the other; each has a key, so an order whose answer was lost may be sent again."""
    return [place(shop, sku, 1, **{"Idempotency-Key": new_id()})["order_id"] for _ in range(count)]


@pytest.mark.feature("F20")
@pytest.mark.timeout(240)
def test_killing_workers_and_a_replica_loses_no_order_and_no_cent(
    stack: Deployment, people: People, operator: Shop
) -> None:
    sku = new_product(operator, price_cents=PRICE_CENTS, stock=ORDERS)
    opening = stock_of(operator, sku)["available"]
    buyers = [people.customer() for _ in range(BUYERS)]
    stopping, killed = threading.Event(), list[str]()
    killer = threading.Thread(target=kill_in_turn, args=(stack, stopping, killed), kwargs={"every_s": 0.6, "seed": 7})
    killer.start()
    try:
        with ThreadPoolExecutor(BUYERS) as pool:
            placed = list(pool.map(lambda shop: buy(shop, sku, ORDERS // BUYERS), buyers))
    finally:
        stopping.set()
        killer.join()
    assert len(killed) >= 3, "the orders went through too fast to kill anything"
    assert len({order for orders in placed for order in orders}) == ORDERS

    for shop, orders in zip(buyers, placed, strict=True):
        for order_id in orders:
            settled(shop, order_id, deadline_s=60)
    outcomes = [status_of(shop, o) for shop, orders in zip(buyers, placed, strict=True) for o in orders]
    completed = outcomes.count("completed")
    assert set(outcomes) <= {"completed", "rejected"}, "a step may have timed out while its worker was down"

    eventually(lambda: stock_of(operator, sku)["reserved"] == 0, deadline_s=60)  # the carrier takes a second each
    shelf = stock_of(operator, sku)
    assert (shelf["sold"], shelf["available"]) == (completed, opening - completed)
    spent = sum(WELCOME_CENTS - balance(shop)["available_cents"] for shop in buyers)
    assert (spent, sum(balance(shop)["held_cents"] for shop in buyers)) == (completed * PRICE_CENTS, 0)
    eventually(lambda: operator.get("/admin/payments/ledger")["balanced"] is True, deadline_s=20)
    for service in ("orders", "payments", "fulfillment"):
        assert operator.get(f"/admin/{service}/dead-letters")["items"] == []
