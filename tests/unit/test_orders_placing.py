"""Placing an order, on a bus in memory: prices, keys and races."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from contracts.orders import OrderPlaced, ReserveStock
from sagashop.bus import GuardFailed
from sagashop.effects import Effects, Expect, Put, Rows, apply_to
from sagashop.errors import Conflict, InvalidRequest, Problem
from services.orders import store
from services.orders.placing import Placing, key_of
from services.orders.saga import checkout
from services.orders.views import (
    BadIdempotencyKey,
    KeyReused,
    NotOnSale,
    PlaceOrder,
    PriceChanged,
    UnknownProduct,
    WantedLine,
)
from services.orders.waiting import wanted_wait_s


class MemoryBus:
    """Rows in memory. `meanwhile` runs between reading and writing, as another request would."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.admitted: list[Effects] = []
        self.loads: list[Sequence[str]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def load(self, wanted: Sequence[str]) -> Rows:
        self.loads.append(wanted)
        return {key: dict(self.rows.get(key, {})) for key in wanted}

    def admit(self, service: str, effects: Effects, trace: str = "") -> None:
        self.meanwhile()
        for guard in effects.expect:
            assert isinstance(guard, Expect)
            held = self.rows.get(guard.key, {}).get(guard.field)
            if held != (None if guard.value is None else str(guard.value)):
                raise GuardFailed
        apply_to(effects, self.rows)
        self.admitted.append(effects)

    def sell(self, sku: str, price_cents: int, *, on_sale: bool = True) -> None:
        revision = int(self.rows.get(store.product_key(sku), {}).get("revision", 0)) + 1
        fields: dict[str, str | int] = {
            "revision": revision, "name": f"A {sku}", "price_cents": price_cents, "on_sale": int(on_sale),
        }  # fmt: skip
        apply_to(Effects(write=[Put(store.product_key(sku), fields)]), self.rows)


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.sell("MUG", 900)
    bus.sell("TEE", 2_000)
    bus.sell("OLD", 100, on_sale=False)
    return bus


@pytest.fixture
def placing(bus: MemoryBus) -> Placing:
    return Placing(bus, checkout)  # type: ignore[arg-type]


def wish(*lines: tuple[str, int], **more: Any) -> PlaceOrder:
    return PlaceOrder(lines=[WantedLine(sku=sku, quantity=quantity) for sku, quantity in lines], **more)


def refusal(placing: Placing, wanted: PlaceOrder, kind: type[Problem], key: str | None = None) -> Problem:
    with pytest.raises(kind) as refused:
        placing.place("c1", wanted, key=key)
    return refused.value


def test_an_order_is_priced_from_the_published_prices_and_asks_for_stock(placing: Placing, bus: MemoryBus) -> None:
    order = placing.place("c1", wish(("MUG", 2), ("TEE", 1))).order

    assert (order.customer_id, order.total_cents, order.version) == ("c1", 3_800, 1)
    assert [type(message) for message in bus.admitted[0].emitted] == [OrderPlaced, ReserveStock]
    assert [(line.sku, line.quantity, line.price_cents, line.name) for line in order.lines] == [
        ("MUG", 2, 900, "A MUG"),
        ("TEE", 1, 2_000, "A TEE"),
    ]


def test_placing_takes_one_read_and_one_write(placing: Placing, bus: MemoryBus) -> None:
    placing.place("c1", wish(("MUG", 1), ("TEE", 1)), key="k1")
    assert (len(bus.loads), len(bus.admitted)) == (1, 1)


def test_lines_of_one_product_count_as_one(placing: Placing) -> None:
    order = placing.place("c1", wish(("MUG", 2), ("TEE", 1), ("MUG", 3))).order
    assert [(line.sku, line.quantity) for line in order.lines] == [("MUG", 5), ("TEE", 1)]


def test_lines_that_add_up_to_too_many_are_refused_and_named(placing: Placing, bus: MemoryBus) -> None:
    refused = refusal(placing, wish(("MUG", 60), ("MUG", 60)), InvalidRequest)
    assert refused.extra["errors"][0]["path"] == "lines[1].quantity"
    assert bus.admitted == []


def test_unknown_products_are_named_and_nothing_is_placed(placing: Placing, bus: MemoryBus) -> None:
    refused = refusal(placing, wish(("NIX", 1), ("MUG", 1), ("NUX", 1)), UnknownProduct)
    assert refused.extra == {"skus": ["NIX", "NUX"]}
    assert bus.admitted == []


def test_a_product_off_sale_is_refused(placing: Placing) -> None:
    assert refusal(placing, wish(("MUG", 1), ("OLD", 1)), NotOnSale).extra == {"skus": ["OLD"]}


def test_another_total_than_expected_places_nothing_and_tells_the_current_one(placing: Placing, bus: MemoryBus) -> None:
    refused = refusal(placing, wish(("MUG", 2), expected_total_cents=1_700), PriceChanged)
    assert refused.extra["total_cents"] == 1_800
    assert refused.extra["lines"] == [{"sku": "MUG", "quantity": 2, "price_cents": 900, "name": "A MUG"}]
    assert bus.admitted == []
    assert placing.place("c1", wish(("MUG", 2), expected_total_cents=1_800)).order.total_cents == 1_800


def test_a_repeated_key_gives_the_first_order_again(placing: Placing, bus: MemoryBus) -> None:
    first = placing.place("c1", wish(("MUG", 2), ("TEE", 1)), key="k1")
    bus.sell("MUG", 1_000)  # a price that changed since then matters to nobody
    again = placing.place("c1", wish(("TEE", 1), ("MUG", 2)), key="k1")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.order == first.order
    assert len(bus.admitted) == 1


def test_a_key_with_another_wish_is_refused(placing: Placing, bus: MemoryBus) -> None:
    first = placing.place("c1", wish(("MUG", 2)), key="k1").order
    assert refusal(placing, wish(("MUG", 3)), KeyReused, key="k1").extra == {"order_id": first.order_id}
    assert len(bus.admitted) == 1


def test_keys_of_two_customers_do_not_meet(placing: Placing) -> None:
    orders = {placing.place(customer, wish(("MUG", 1)), key="k1").order.order_id for customer in ("c1", "c2")}
    assert len(orders) == 2


def test_a_cart_is_ordered_once_in_each_of_its_versions(placing: Placing) -> None:
    def order_cart(version: int) -> str:
        return placing.place("c1", wish(("MUG", 1), cart_id="cart-1", cart_version=version)).order.order_id

    assert order_cart(4) == order_cart(4) != order_cart(5)


def test_without_a_key_every_request_is_an_order(placing: Placing, bus: MemoryBus) -> None:
    placing.place("c1", wish(("MUG", 1)))
    placing.place("c1", wish(("MUG", 1)))
    assert len(bus.admitted) == 2


def test_of_two_requests_with_one_key_at_once_the_loser_gets_the_winners_order(
    placing: Placing, bus: MemoryBus
) -> None:
    winners = []

    def be_faster() -> None:
        bus.meanwhile = lambda: None
        winners.append(placing.place("c1", wish(("MUG", 1)), key="k1").order)

    bus.meanwhile = be_faster
    late = placing.place("c1", wish(("MUG", 1)), key="k1")
    assert (late.replayed, late.order) == (True, winners[0])
    assert len(bus.admitted) == 1


def test_a_race_that_never_ends_is_given_up(placing: Placing, bus: MemoryBus) -> None:
    def always_lose() -> None:
        raise GuardFailed

    bus.meanwhile = always_lose
    refusal(placing, wish(("MUG", 1)), Conflict)
    assert len(bus.loads) == 3


@pytest.mark.parametrize("key", ["", "x" * 129, "tab\there", "münze", "\x7f"])
def test_a_key_that_is_empty_too_long_or_not_printable_is_refused(key: str) -> None:
    with pytest.raises(BadIdempotencyKey):
        key_of(wish(("MUG", 1)), key)


def test_a_given_key_goes_before_the_cart() -> None:
    wanted = wish(("MUG", 1), cart_id="cart-1", cart_version=2)
    assert (key_of(wanted, "x" * 128), key_of(wanted, None)) == ("x" * 128, "cart:cart-1:2")


@pytest.mark.parametrize(("half", "missing"), [({"cart_id": "c"}, "cart_version"), ({"cart_version": 1}, "cart_id")])
def test_half_a_cart_is_refused(half: dict[str, Any], missing: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        key_of(wish(("MUG", 1), **half), None)
    assert refused.value.extra["errors"][0]["path"] == missing


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        ("wait=2", 2),
        ("respond-async, wait=10", 10),
        ('return=minimal, WAIT = "3"; foo=bar', 3),
        ("wait=2, wait=9", 2),
        ("", None),
        ("wait", None),
        ("wait=soon", None),
        ("wait=-1", None),
        ("await=2", None),
    ],
)
def test_the_preferred_wait_is_read_as_rfc_7240_says(prefer: str, wait_s: int | None) -> None:
    assert wanted_wait_s(prefer) == wait_s


def test_a_product_that_is_known_is_not_read_again(bus: MemoryBus, placing: Placing) -> None:
    placing.place("c1", wish(("MUG", 1)), key="first")
    placing.place("c2", wish(("MUG", 1)), key="second")
    assert len(bus.loads) == 1
    assert len(bus.admitted) == 2


def test_a_remembered_price_that_has_changed_is_never_charged(bus: MemoryBus, placing: Placing) -> None:
    placing.place("c1", wish(("MUG", 1)))
    bus.sell("MUG", 1_200)
    assert placing.place("c1", wish(("MUG", 1))).order.total_cents == 1_200
    bus.sell("MUG", 1_500)
    with pytest.raises(PriceChanged):
        placing.place("c1", wish(("MUG", 1), expected_total_cents=1_200))
    bus.sell("MUG", 1_500, on_sale=False)
    with pytest.raises(NotOnSale):
        placing.place("c1", wish(("MUG", 1)))
    assert len(bus.admitted) == 2


def test_a_key_used_again_finds_the_first_order_although_the_product_is_known(placing: Placing) -> None:
    first = placing.place("c1", wish(("MUG", 1)), key="same")
    again = placing.place("c1", wish(("MUG", 1)), key="same")
    assert (again.order.order_id, again.replayed) == (first.order.order_id, True)
