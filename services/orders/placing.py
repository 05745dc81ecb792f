"""Placing an order: one round trip to redis-ledger where the products are known, two where they are not.

What was read before is trusted and guarded: the commit holds only if each product is still at the revision that was
read. If it is not, the products are read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from contracts.orders import Line
from sagashop.bus import Bus, GuardFailed
from sagashop.effects import Effects, Expect, Put, Rows
from sagashop.errors import Conflict, Unavailable
from sagashop.messages import new_id
from sagashop.saga import Saga
from sagashop.web.inputs import invalid
from services.orders import store
from services.orders.domain import Order, evolve, place
from services.orders.views import (
    MAX_QUANTITY,
    BadIdempotencyKey,
    KeyReused,
    NotOnSale,
    PlaceOrder,
    PriceChanged,
    UnknownProduct,
)

KEEP_KEY_S = 24 * 3600
"""A key is remembered for a day. The order it names stays in redis-ledger at least as long."""
MAX_KEY = 128
ROUNDS = 3
MANY_PRODUCTS = 10_000

Quantities = dict[str, int]
"""Wanted pieces by sku, in the order of their first line."""


class Placed(msgspec.Struct, frozen=True):
    """`replayed`: the key was known, and this is the order that was placed under it."""

    order: Order
    replayed: bool = False


class _Wish(NamedTuple):
    customer_id: str
    wanted: PlaceOrder
    quantities: Quantities
    key_row: str | None
    fingerprint: str
    trace: str


class Placing:
    """Places orders at the prices that storefront last published.

    The customer is not looked up: the session proves who it is, and waiting for `CustomerRegistered` to arrive would
    only turn away people who signed up a moment ago. Payments opens an account for whom it does not know yet.
    """

    def __init__(self, bus: Bus, saga: Saga) -> None:
        self._bus, self._saga = bus, saga
        self._products: Rows = {}

    def place(self, customer_id: str, wanted: PlaceOrder, *, key: str | None = None, trace: str = "") -> Placed:
        """Commit the order, its first event and its first command in one step, or find the order of this key.

        key: what the client calls this request; without one, a cart's id and version are the key

        Prices are those of the moment of the commit. Delivery: with a key, once however often it is repeated; without
        one, once for each request.

        Raises:
            InvalidRequest: a line, the cart or the key does not fit; UnknownProduct, NotOnSale
            KeyReused:      the key belongs to an order with another content
            PriceChanged:   the total is not the expected one
            Unavailable:    redis-ledger does not answer, or is nearly full
        """
        quantities = merged(wanted)
        key = key_of(wanted, key)
        key_row = store.idempotency_key(customer_id, key) if key is not None else None
        fingerprint = fingerprint_of(wanted, quantities) if key_row else ""
        wish = _Wish(customer_id, wanted, quantities, key_row, fingerprint, trace)
        if remembered := self._remembered(quantities):
            with suppress(GuardFailed, UnknownProduct, NotOnSale, PriceChanged):
                return self._commit(wish, remembered)
        needed = [*map(store.product_key, quantities), *([key_row] if key_row else [])]
        for _ in range(ROUNDS):
            rows = self._bus.load(needed)
            self._remember(quantities, rows)
            if key_row and rows[key_row]:
                return Placed(self._first_order(rows[key_row], fingerprint), replayed=True)
            with suppress(GuardFailed):  # the same key, or a new price, at the same time: look again
                return self._commit(wish, rows)
        raise Conflict("The same order is being placed elsewhere. Try again.")

    def _commit(self, wish: _Wish, rows: Rows) -> Placed:
        lines, wanted = priced(wish.quantities, rows), wish.wanted
        event = place(
            self._saga, new_id(), wish.customer_id, lines, cart_id=wanted.cart_id, cart_version=wanted.cart_version
        )
        if wanted.expected_total_cents not in (None, event.total_cents):
            raise PriceChanged(total_cents=event.total_cents, lines=msgspec.to_builtins(lines))
        effects = store.record(self._saga, None, event) + _unchanged(wish.quantities, rows)
        if wish.key_row:
            effects += _remember_key(wish.key_row, event.order_id, wish.fingerprint)
        self._bus.admit("orders", effects, wish.trace)
        return Placed(evolve(self._saga, None, event))

    def _remembered(self, quantities: Quantities) -> Rows | None:
        known = {key: self._products.get(key) for key in map(store.product_key, quantities)}
        rows = {key: row for key, row in known.items() if row is not None}
        return rows if len(rows) == len(known) else None

    def _remember(self, quantities: Quantities, rows: Rows) -> None:
        if len(self._products) > MANY_PRODUCTS:
            self._products.clear()
        known = {key: rows[key] for key in map(store.product_key, quantities) if rows[key]}
        self._products.update(known)

    def _first_order(self, row: dict[str, str], fingerprint: str) -> Order:
        if row["fingerprint"] != fingerprint:
            raise KeyReused("Send what was sent the first time, or choose a new key.", order_id=row["order_id"])
        order_id = row["order_id"]
        order = store.read_order(self._bus.load([store.order_key(order_id)]), order_id)
        if order is None:
            raise Unavailable(f"Order {order_id} was placed under this key, and cannot be shown now.")
        return order


def merged(wanted: PlaceOrder) -> Quantities:
    """One line a product. Raises: InvalidRequest where the lines of a product add up to too many."""
    quantities: Quantities = {}
    for number, line in enumerate(wanted.lines):
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
        if quantities[line.sku] > MAX_QUANTITY:
            raise invalid(f"lines[{number}].quantity", f"at most {MAX_QUANTITY} of one product")
    return quantities


def key_of(wanted: PlaceOrder, given: str | None) -> str | None:
    """The key this request goes by: the one given, else the cart's id and version, else none.

    Raises:
        BadIdempotencyKey: the given one is empty, too long, or not printable
        InvalidRequest:    half of a cart is given
    """
    if (wanted.cart_id is None) != (wanted.cart_version is None):
        missing = "cart_version" if wanted.cart_version is None else "cart_id"
        raise invalid(missing, "a cart is named by its id and its version")
    if given is not None:
        if not (0 < len(given) <= MAX_KEY and given.isascii() and given.isprintable()):
            raise BadIdempotencyKey
        return given
    return f"cart:{wanted.cart_id}:{wanted.cart_version}" if wanted.cart_id is not None else None


def fingerprint_of(wanted: PlaceOrder, quantities: Quantities) -> str:
    """The same for the same wish, however its JSON is written and its lines are sorted."""
    canonical = [sorted(quantities.items()), wanted.cart_id, wanted.cart_version, wanted.expected_total_cents]
    return hashlib.sha256(msgspec.json.encode(canonical)).hexdigest()


def priced(quantities: Quantities, rows: Rows) -> list[Line]:
    """The lines with the names and prices of these product rows. Raises: UnknownProduct, NotOnSale."""
    products = {sku: rows[store.product_key(sku)] for sku in quantities}
    if unknown := [sku for sku, product in products.items() if not product]:
        raise UnknownProduct(f"Not in the catalogue: {_named(unknown)}.", skus=unknown)
    if ended := [sku for sku, product in products.items() if product["on_sale"] != "1"]:
        raise NotOnSale(f"Not on sale: {_named(ended)}.", skus=ended)
    return [
        Line(sku=sku, quantity=quantity, price_cents=int(products[sku]["price_cents"]), name=products[sku]["name"])
        for sku, quantity in quantities.items()
    ]


def _unchanged(quantities: Quantities, rows: Rows) -> Effects:
    products = map(store.product_key, quantities)
    return Effects(expect=[Expect(product, "revision", rows[product]["revision"]) for product in products])


def _remember_key(key_row: str, order_id: str, fingerprint: str) -> Effects:
    return Effects(
        expect=[Expect(key_row, "order_id", None)],
        write=[Put(key_row, {"order_id": order_id, "fingerprint": fingerprint}, ttl_s=KEEP_KEY_S)],
    )


def _named(skus: Sequence[str]) -> str:
    return ", ".join(skus)
