"""Containers are killed, paused, cut off and stopped while orders go through; then the whole shop is audited."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.compose.containers import Container
from sagashop import keys
from tests.chaos.load import Load
from tests.compose.conftest import ShopInContainers
from tests.compose.hurting import cut_off, paused

ORDERS, PER_S = 240, 24
VICTIMS = (
    *("storefront-worker", "orders-worker", "payments-worker", "fulfillment-worker", "orders-projector"),
    *("orders-web-1", "redis-ledger", "redis-session"),
)


def kills(shop: ShopInContainers) -> None:
    for victim in random.Random(4).sample(VICTIMS, len(VICTIMS)):
        shop.stack.signal(victim, signal.SIGKILL)
        time.sleep(1)


def pauses(shop: ShopInContainers) -> None:
    """Longer than others wait: their work is taken over, and what they do when they wake up has no effect."""
    for victim in ("orders-worker", "payments-worker", "redis-ledger"):
        with paused(shop.stack, victim):
            time.sleep(3)


def disconnects(shop: ShopInContainers) -> None:
    for victim in ("fulfillment-worker", "redis-ledger", "mysql"):
        with cut_off(shop.stack, victim):
            time.sleep(3)


@pytest.mark.feature("F20")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("hurt", [kills, pauses, disconnects])
def test_no_order_and_no_cent_is_lost(shop: ShopInContainers, hurt: Callable[[ShopInContainers], None]) -> None:
    load = Load(shop, orders=ORDERS, per_s=PER_S, seed=len(hurt.__name__))
    with load.running():
        hurt(shop)
    assert len(set(load.accepted)) == ORDERS
    shop.assert_nothing_lost(load.accepted)


@pytest.mark.feature("F20")
@pytest.mark.timeout(300)
def test_a_stop_under_load_leaves_no_message_half_done(shop: ShopInContainers) -> None:
    """Every process ends by itself; nothing that a worker had taken is left open; afterwards all of it finishes."""
    stack, load = shop.stack, Load(shop, orders=ORDERS, per_s=PER_S, seed=5)
    with load.running():
        time.sleep(3)
        stack.compose("stop", timeout_s=120)
        assert {each.name: each.exit_code for each in stack.containers() if not ended_by_itself(each)} == {}
        stack.start("redis-ledger")
        assert open_messages(shop) == []
        stack.up()
    shop.assert_nothing_lost(load.accepted)


def ended_by_itself(container: Container) -> bool:
    return container.state == "exited" and container.exit_code == 0


def open_messages(shop: ShopInContainers) -> list[tuple[str, Any]]:
    """The groups with entries that were delivered and not acknowledged, by stream."""
    with shop.ledger() as ledger:
        streams = list(ledger.scan_iter(keys.own("*"), count=1000, _type="stream"))
        return [(name, group) for name in streams for group in ledger.xinfo_groups(name) if group["pending"]]
