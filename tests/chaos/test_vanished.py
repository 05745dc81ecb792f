"""Groups and whole streams are deleted under the shop's feet."""

from __future__ import annotations

import time

import pytest
import redis

from sagashop import keys
from tests.chaos.load import Load
from tests.chaos.shop import ShopUnderTest

GROUPS = (
    ("payments.commands", "payments"),
    ("fulfillment.commands", "fulfillment"),
    ("fulfillment.timers", "fulfillment"),
    ("payments.events", "orders"),
    ("fulfillment.events", "orders"),
    ("orders.timers", "orders"),
    ("orders.events", "orders-journal"),
    ("payments.events", "payments-journal"),
    ("fulfillment.events", "fulfillment-journal"),
)


def test_lost_groups_are_made_again_and_what_they_read_twice_counts_once(
    shop: ShopUnderTest, ledger: redis.Redis
) -> None:
    load = Load(shop, orders=400, per_s=25, seed=9)
    with load.running():
        for channel, group in GROUPS:
            time.sleep(1.5)
            assert ledger.xgroup_destroy(keys.stream(channel), group)
    shop.assert_nothing_lost(load.accepted)


@pytest.mark.parametrize("channel", ["payments.commands", "fulfillment.commands"])
def test_lost_commands_are_asked_for_again_or_undone(shop: ShopUnderTest, ledger: redis.Redis, channel: str) -> None:
    load = Load(shop, orders=240, per_s=40, seed=10)
    with load.running():
        for _ in range(3):
            time.sleep(1.5)
            ledger.delete(keys.stream(channel))
    shop.assert_nothing_lost(load.accepted)


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
