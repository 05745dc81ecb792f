"""The bus of a project is changed while orders are in flight: drained or refused, and no order is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.compose.stack import ComposeStack
from deploy.local.errors import StackError
from tests.chaos.shop import place
from tests.compose.conftest import ShopInContainers

pytestmark = [pytest.mark.feature("F62"), pytest.mark.timeout(600), pytest.mark.slow]
"""Slow, since everything of ours starts three times: `make test-compose ARGS="-m slow"`."""


def on_bus(compose: ComposeStack, bus: str) -> ComposeStack:
    return ComposeStack(compose.name, {**compose.env, "BUS": bus}, env_file=compose.env_file)


@pytest.fixture
def other(compose: ComposeStack) -> Iterator[str]:
    """The bus that the shop is not on; afterwards it is on its own again."""
    yield next(bus for bus in ("redis", "rabbitmq") if bus != compose.env["BUS"])
    compose.up()


def test_the_bus_is_changed_and_changed_back_with_orders_in_flight(
    compose: ComposeStack, shop: ShopInContainers, other: str
) -> None:
    customer, placed = shop.people.customer(), list[str]()
    for bus in (other, compose.env["BUS"]):
        placed += [place(customer, shop.cheap, f"before-{bus}-{n}") for n in range(30)]
        on_bus(compose, bus).up()
        assert {each.bus for each in compose.containers() if each.is_ours} == {bus}
        placed += [place(customer, shop.cheap, f"after-{bus}-{n}") for n in range(5)]
    report = shop.assert_nothing_lost(placed)
    assert {report.orders[order_id] for order_id in placed} == {"completed"}


def test_the_bus_is_not_changed_while_something_is_on_its_way(
    compose: ComposeStack, shop: ShopInContainers, other: str
) -> None:
    compose.stop("fulfillment-worker")
    placed = [place(shop.people.customer(), shop.cheap, "held up")]
    moved = on_bus(compose, other)
    moved.drain_s = 2
    with pytest.raises(StackError, match=rf"BUS stays {compose.env['BUS']}(.|\n)*fulfillment"):
        moved.up()
    assert {each.bus for each in compose.containers() if each.is_ours} == {compose.env["BUS"]}
    compose.up()
    shop.assert_nothing_lost(placed)
