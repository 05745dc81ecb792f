"""Groups, whole streams and queues are deleted under the shop's feet."""

from __future__ import annotations

import time

import pytest
import redis

from sagashop import keys
from sagashop.rabbit.events import inbox_queue
from tests.chaos.load import Load
from tests.chaos.shop import ShopUnderTest

OF_BOTH = (
    ("fulfillment.timers", "fulfillment"),
    ("orders.timers", "orders"),
    ("orders.events", "orders-journal"),
    ("payments.events", "payments-journal"),
    ("fulfillment.events", "fulfillment-journal"),
)
GROUPS = {
    "redis": (
        ("payments.commands", "payments"),
        ("fulfillment.commands", "fulfillment"),
        ("payments.events", "orders"),
        ("fulfillment.events", "orders"),
        *OF_BOTH,
    ),
    "rabbitmq": (("orders.out", "relay"), ("payments.events", "relay"), ("fulfillment.events", "relay"), *OF_BOTH),
}
"""Those by which a bus reads. On RabbitMQ the relays read, and what they read twice they publish twice."""


def test_lost_groups_are_made_again_and_what_they_read_twice_counts_once(
    shop: ShopUnderTest, ledger: redis.Redis
) -> None:
    load = Load(shop, orders=400, per_s=25, seed=9)
    with load.running():
        for channel, group in GROUPS[shop.bus]:
            time.sleep(1.5)
            assert ledger.xgroup_destroy(keys.stream(channel), group)
    shop.assert_nothing_lost(load.accepted)


@pytest.mark.parametrize("service", ["payments", "fulfillment"])
def test_lost_commands_are_asked_for_again_or_undone(shop: ShopUnderTest, ledger: redis.Redis, service: str) -> None:
    load = Load(shop, orders=240, per_s=40, seed=10)
    with load.running():
        for _ in range(3):
            time.sleep(1.5)
            lose_what_waits(shop, ledger, service)
    shop.assert_nothing_lost(load.accepted)


def lose_what_waits(shop: ShopUnderTest, ledger: redis.Redis, service: str) -> None:
    """Delete what brings a service its commands: its stream, or its queue, which has bindings, too."""
    if shop.bus == "redis":
        ledger.delete(keys.stream(f"{service}.commands"))
    else:
        with shop.rabbitmq() as channel:
            channel.queue_delete(inbox_queue(service))


def test_event_streams_that_vanish_after_the_journal_has_them_are_not_missed(
    shop: ShopUnderTest, ledger: redis.Redis
) -> None:
    """What no journal has yet would be lost for good: see test_aof.py for how the audit tells."""
    shop.settle()
    for channel in ("orders.events", "payments.events", "fulfillment.events"):
        assert ledger.delete(keys.stream(channel))
    load = Load(shop, orders=100, per_s=40, seed=11)
    load.run()
    shop.assert_nothing_lost(load.accepted)
