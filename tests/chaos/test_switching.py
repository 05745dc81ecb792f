"""Changing the bus of a stack that is at work: refused or drained, never losing an order."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.ports import free_settings
from deploy.local.stack import Stack
from tests.chaos.shop import ShopUnderTest, place
from tests.conftest import QUICK

pytestmark = pytest.mark.feature("F62")


def test_a_stack_changes_its_bus_and_back_with_orders_in_flight(tmp_path: Path) -> None:
    settings = {**free_settings(), **QUICK, "BUS": "redis"}
    with Stack(tmp_path, settings) as stack:
        shop, placed = ShopUnderTest(stack), list[str]()
        customer = shop.people.customer()
        for turn, bus in enumerate(("rabbitmq", "redis")):
            placed += [place(customer, shop.cheap, f"{turn}-{n}") for n in range(40)]
            Stack(tmp_path, settings | {"BUS": bus}).up(180)
            placed += [place(customer, shop.cheap, f"{turn}-after-{n}") for n in range(5)]
            shop.assert_nothing_lost(placed)
        stack.stop("fulfillment-worker")
        placed += [place(customer, shop.cheap, "held up")]
        other = Stack(tmp_path, settings | {"BUS": "rabbitmq"})
        other.drain_s = 2
        with pytest.raises(StackError, match=r"BUS stays redis(.|\n)*fulfillment:commands"):
            other.up(180)
        stack.up(180)
        shop.assert_nothing_lost(placed)


def test_a_stack_that_is_down_changes_its_bus_when_nothing_was_left(tmp_path: Path) -> None:
    settings = {**free_settings(), **QUICK, "BUS": "rabbitmq"}
    stack = Stack(tmp_path, settings)
    try:
        stack.up(180)
        shop = ShopUnderTest(stack)
        placed = [place(shop.people.customer(), shop.cheap, "before")]
        shop.assert_nothing_lost(placed)
        stack.down()
        stack = Stack(tmp_path, settings | {"BUS": "redis"})
        stack.up(180)
        placed += [place(shop.people.customer(), shop.cheap, "after")]
        shop.assert_nothing_lost(placed)
    finally:
        stack.down()
