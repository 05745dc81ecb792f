"""The cart: pieces by product, at the prices of this moment."""

from __future__ import annotations

import msgspec
from flask import Blueprint

from contracts.storefront import Activity
from sagashop import log as logs
from sagashop.web import auth
from sagashop.web.inputs import Answer, Input, accepts
from services.storefront import cookies
from services.storefront.domain import (
    BadQuantity,
    Cart,
    CartFull,
    NotOnSale,
    UnknownProduct,
    check_quantity,
    total_cents,
)
from services.storefront.routes import owner
from services.storefront.shop import Shop


class CartLine(msgspec.Struct, kw_only=True):
    """`on_sale` is false where the product was withdrawn since; such an order would be refused."""

    sku: str
    name: str
    quantity: int
    price_cents: int
    on_sale: bool


class CartView(msgspec.Struct, kw_only=True):
    """Order with this `cart_id` and `version`: they name exactly these lines. A cart never used has no id."""

    cart_id: str | None
    version: int
    lines: list[CartLine]
    total_cents: int


class Quantity(Input, frozen=True, kw_only=True):
    quantity: int


def routes(shop: Shop) -> Blueprint:
    cart = Blueprint("cart", __name__, url_prefix="/api/cart")

    @cart.get("")
    @accepts(answers=CartView)
    def show() -> Answer:
        """What is in the cart, with the prices of now."""
        whose = owner.here()
        return priced(shop.carts.get(whose) if whose else Cart())

    @cart.put("/lines/<sku>")
    @accepts(json=Quantity, answers=CartView, problems=[BadQuantity, UnknownProduct, NotOnSale, CartFull])
    def set_line(sku: str, json: Quantity) -> Answer:
        """Set how many pieces of a product are in the cart; 0 removes it. Repeating it changes nothing."""
        quantity = check_quantity(json.quantity)
        if quantity > 0 and not shop.catalogue.get(sku).on_sale:
            raise NotOnSale(f"{sku} is not sold at the moment.")
        changed, gained = shop.carts.change(owner.here_for_good(), sku, quantity, cookies.ensure(cookies.VISITOR))
        if gained > 0:
            tell_added(sku, gained)
        return priced(changed)

    @cart.delete("")
    @accepts(answers={204: None})
    def empty() -> Answer:
        """Remove every line."""
        if whose := owner.here():
            shop.carts.empty(whose)
        return "", 204

    def priced(shown: Cart) -> CartView:
        products = shop.catalogue.by_sku(shown.quantities) if shown.quantities else {}
        lines = [
            CartLine(sku=sku, name=p.name, quantity=shown.quantities[sku], price_cents=p.price_cents, on_sale=p.on_sale)
            for sku, p in products.items()
        ]
        prices_cents = {sku: p.price_cents for sku, p in products.items()}
        quantities = {sku: n for sku, n in shown.quantities.items() if sku in products}
        return CartView(
            cart_id=shown.id, version=shown.version, lines=sorted(lines, key=lambda line: line.name),
            total_cents=total_cents(quantities, prices_cents),
        )  # fmt: skip

    def tell_added(sku: str, pieces: int) -> None:
        who, visitor_id = auth.current(), cookies.ensure(cookies.VISITOR)
        added = Activity(
            kind="add_to_cart", visitor_id=visitor_id, customer_id=who.user_id if who else None,
            tags={"sku": sku, "pieces": pieces},
        )  # fmt: skip
        shop.behaviour.track(added, logs.current("trace"))

    return cart
