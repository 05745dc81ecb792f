"""Carts against a real redis-session."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from sagashop import redis_clients
from sagashop.settings import Settings
from services.storefront.carts import Carts, customer, guest
from services.storefront.domain import MAX_LINES, Cart, CartFull

TTL_S = 1_000


@pytest.fixture
def server(redis_session: str) -> Iterator[redis.Redis]:
    with redis_clients.session(Settings(redis_session_url=redis_session)) as client:
        yield client


@pytest.fixture
def carts(server: redis.Redis) -> Carts:
    return Carts(server, TTL_S)


def test_a_cart_nobody_used_is_empty_and_leaves_no_key(carts: Carts, server: redis.Redis) -> None:
    assert carts.get(guest("g")) == Cart()
    assert carts.change(guest("g"), "MUG", 0) == (Cart(), 0)
    assert server.keys() == []


def test_every_change_raises_the_version_and_a_repetition_does_not(carts: Carts) -> None:
    first, gained = carts.change(guest("g"), "MUG", 2)
    assert (first.version, first.quantities, gained) == (1, {"MUG": 2}, 2)
    assert carts.change(guest("g"), "MUG", 2) == (first, 0)
    assert carts.change(guest("g"), "TEE", 1) == (Cart(id=first.id, version=2, quantities={"MUG": 2, "TEE": 1}), 1)
    assert carts.change(guest("g"), "MUG", 0) == (Cart(id=first.id, version=3, quantities={"TEE": 1}), -2)


def test_changes_at_the_same_time_all_count(carts: Carts) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: carts.change(guest("g"), f"P-{n}", 1), range(40)))
    cart = carts.get(guest("g"))
    assert cart.version == len(cart.quantities) == 40


def test_a_cart_expires_after_its_last_use(carts: Carts, server: redis.Redis) -> None:
    carts.change(guest("g"), "MUG", 1)
    server.expire(guest("g").key, 10)
    carts.get(guest("g"))
    assert server.ttl(guest("g").key) == TTL_S


def test_a_cart_that_begins_anew_has_a_new_id(carts: Carts, server: redis.Redis) -> None:
    before = carts.change(guest("g"), "MUG", 1).cart
    server.flushall()
    after = carts.change(guest("g"), "MUG", 1).cart
    assert after.version == before.version
    assert after.id != before.id


def test_one_line_too_many_is_refused_and_changes_nothing(carts: Carts) -> None:
    for n in range(MAX_LINES):
        carts.change(guest("g"), f"P-{n}", 1)
    before = carts.get(guest("g"))
    with pytest.raises(CartFull):
        carts.change(guest("g"), "ONE-MORE", 1)
    assert carts.get(guest("g")) == before
    assert carts.change(guest("g"), "P-0", 5).cart.quantities["P-0"] == 5


def test_emptying_keeps_the_cart_and_moves_its_version_on(carts: Carts) -> None:
    before = carts.change(guest("g"), "MUG", 2).cart
    carts.empty(guest("g"))
    assert carts.get(guest("g")) == Cart(id=before.id, version=2)
    carts.empty(guest("g"))
    assert carts.get(guest("g")).version == 2


def test_a_guests_cart_is_added_to_the_customers_at_log_in(carts: Carts) -> None:
    carts.change(guest("g"), "MUG", 60)
    carts.change(guest("g"), "TEE", 1)
    before = carts.change(customer("c"), "MUG", 50).cart
    carts.merge(guest("g"), customer("c"))
    assert carts.get(customer("c")) == Cart(id=before.id, version=2, quantities={"MUG": 99, "TEE": 1})
    assert carts.get(guest("g")) == Cart()
    carts.merge(guest("g"), customer("c"))
    assert carts.get(customer("c")).version == 2


def test_merging_stops_at_the_greatest_number_of_lines(carts: Carts) -> None:
    for n in range(MAX_LINES - 1):
        carts.change(customer("c"), f"C-{n}", 1)
        carts.change(guest("g"), f"G-{n}", 1)
    carts.merge(guest("g"), customer("c"))
    assert len(carts.get(customer("c")).quantities) == MAX_LINES


def test_an_order_empties_the_cart_it_was_made_from_once(carts: Carts) -> None:
    cart = carts.change(customer("c"), "MUG", 1, visitor_id="v").cart
    assert cart.id is not None
    assert carts.settle("c", cart.id, cart.version) == (True, "v")
    assert carts.get(customer("c")) == Cart(id=cart.id, version=2)
    assert carts.settle("c", cart.id, cart.version) == (False, "v")
    assert carts.get(customer("c")).version == 2


def test_an_order_leaves_a_cart_alone_that_changed_since(carts: Carts) -> None:
    ordered = carts.change(customer("c"), "MUG", 1).cart
    assert ordered.id is not None
    now = carts.change(customer("c"), "TEE", 1).cart
    assert carts.settle("c", ordered.id, ordered.version)[0] is False
    assert carts.settle("c", "another cart", now.version)[0] is False
    assert carts.settle("nobody", ordered.id, ordered.version) == (False, "")
    assert carts.get(customer("c")) == now
