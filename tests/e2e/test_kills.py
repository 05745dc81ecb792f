"""Processes are killed while orders go through, and no order, piece or cent is lost or doubled: the audit says so."""

from __future__ import annotations

import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from deploy.deployment import Deployment
from sagashop.audit.auditor import Auditor, Report
from sagashop.cli.audit import FrontDoor
from sagashop.cli.shop import Shop
from sagashop.messages import new_id
from tests.people import People, new_product, place

ORDERS, PRICE_CENTS, BUYERS, QUIET_S = 900, 100, 6, 150
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


def audited(auditor: Auditor) -> Report:
    """What the auditor finds when nothing is under way; mails and parcels count."""
    quiet, report = auditor.wait_until_quiet(QUIET_S), auditor.report()
    assert quiet, f"still at work after {QUIET_S} s: {report.wrong}"
    return report


@pytest.mark.feature("F20")
@pytest.mark.timeout(400)
def test_killing_workers_and_a_replica_loses_no_order_and_no_cent(
    stack: Deployment, people: People, operator: Shop
) -> None:
    auditor = Auditor(FrontDoor(operator))
    before = {(check.house, check.name): check.wrong for check in audited(auditor).wrong}  # what other tests have left
    sku = new_product(operator, price_cents=PRICE_CENTS, stock=ORDERS)
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
    all_placed = {order for orders in placed for order in orders}
    assert len(all_placed) == ORDERS

    report = audited(auditor)
    assert {report.orders.get(order, "lost") for order in all_placed} <= {"completed", "rejected"}, (
        "or a step timed out"
    )
    worse = [check for check in report.wrong if check.wrong > before.get((check.house, check.name), 0)]
    assert not worse
