"""An order empties the cart it came from, as a decision with one injected effect."""

from __future__ import annotations

import pytest

from contracts.orders import Line, OrderPlaced
from contracts.storefront import Activity
from services.storefront.handlers import make_handlers


class Till:
    """Stands in for the carts and remembers what it was asked."""

    def __init__(self) -> None:
        self.settled: list[tuple[str, str, int]] = []

    def settle(self, customer_id: str, cart_id: str, version: int) -> tuple[bool, str]:
        self.settled.append((customer_id, cart_id, version))
        return len(self.settled) == 1, "visitor"


def order(cart_id: str | None = "cart", cart_version: int | None = 3) -> OrderPlaced:
    return OrderPlaced(
        order_id="o1", customer_id="c1", lines=[Line(sku="MUG-TERRA-01", quantity=2)], total_cents=2980,
        cart_id=cart_id, cart_version=cart_version,
    )  # fmt: skip


@pytest.mark.feature("F01")
def test_a_placed_order_settles_its_cart_and_tells_of_the_purchase() -> None:
    till = Till()
    effects = make_handlers(till.settle).decide(order(), {})
    assert till.settled == [("c1", "cart", 3)]
    assert effects.emitted == [
        Activity(
            kind="purchase",
            visitor_id="visitor",
            customer_id="c1",
            tags={"order_id": "o1", "total_cents": 2980, "skus": ["MUG-TERRA-01"]},
        )
    ]


def test_handling_an_order_twice_decides_the_same() -> None:
    handlers = make_handlers(Till().settle)
    assert handlers.decide(order(), {}) == handlers.decide(order(), {})


@pytest.mark.parametrize(("cart_id", "version"), [(None, None), ("cart", None), (None, 3)])
def test_an_order_without_a_cart_touches_none(cart_id: str | None, version: int | None) -> None:
    till = Till()
    effects = make_handlers(till.settle).decide(order(cart_id, version), {})
    assert till.settled == []
    assert len(effects.emit) == 1
