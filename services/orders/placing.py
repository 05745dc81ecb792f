"""Placing an order: two round trips to redis-ledger, one that reads and one that commits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

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

Quantities = dict[str, int]
"""Wanted pieces by sku, in the order of their first line."""


class Placed(msgspec.Struct, frozen=True):
    """`replayed`: the key was known, and this is the order that was placed under it."""

    order: Order
    replayed: bool = False


class Placing:
    """Places orders at the prices that storefront last published.

    The customer is not looked up: the session proves who it is, and waiting for `CustomerRegistered` to arrive would
    only turn away people who signed up a moment ago. Payments opens an account for whom it does not know yet.
    """

    def __init__(self, bus: Bus, saga: Saga) -> None:
        self._bus, self._saga = bus, saga

    def place(self, customer_id: str, wanted: PlaceOrder, *, key: str | None = None, trace: str = "") -> Placed:
        """Commit the order, its first event and its first command in one step, or find the order of this key.

        key: what the client calls this request; without one, a cart's id and version are the key

        Prices are those of the moment of reading; a price that changes in the same millisecond counts for the next
        order. Delivery: with a key, once however often it is repeated; without one, once for each request.

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
        needed = [*map(store.product_key, quantities), *([key_row] if key_row else [])]
        for _ in range(ROUNDS):
            rows = self._bus.load(needed)
            if key_row and rows[key_row]:
                return Placed(self._first_order(rows[key_row], fingerprint), replayed=True)
            lines = priced(quantities, rows)
            event = place(
                self._saga, new_id(), customer_id, lines, cart_id=wanted.cart_id, cart_version=wanted.cart_version
            )
            if wanted.expected_total_cents not in (None, event.total_cents):
                raise PriceChanged(total_cents=event.total_cents, lines=msgspec.to_builtins(lines))
            effects = store.record(self._saga, None, event)
            if key_row:
                effects += _remember(key_row, event.order_id, fingerprint)
            try:
                self._bus.admit("orders", effects, trace)
            except GuardFailed:
                continue  # the same key, at the same time: look who won
            return Placed(evolve(self._saga, None, event))
        raise Conflict("The same order is being placed elsewhere. Try again.")

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


def _remember(key_row: str, order_id: str, fingerprint: str) -> Effects:
    return Effects(
        expect=[Expect(key_row, "order_id", None)],
        write=[Put(key_row, {"order_id": order_id, "fingerprint": fingerprint}, ttl_s=KEEP_KEY_S)],
    )


def _named(skus: Sequence[str]) -> str:
    return ", ".join(skus)
