"""Products: everybody looks, the operator adds and changes."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from flask import Blueprint
from msgspec import UNSET, Meta, UnsetType

from sagashop import pages
from sagashop.errors import Forbidden, NotLoggedIn
from sagashop.web.auth import require_operator
from sagashop.web.inputs import Answer, Input, accepts, invalid
from services.storefront.catalogue import Wanted
from services.storefront.domain import BadProduct, Product, SkuTaken, UnknownProduct
from services.storefront.shop import Shop


class Browse(pages.Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which products to list."""

    search: Annotated[str, Meta(max_length=100, description="Words, all of them in name or description")] = ""
    category: Annotated[str, Meta(max_length=40, description="Only this category")] | None = None
    on_sale: Annotated[Literal["true", "false", "any"], Meta(description="Sold at the moment or not")] = "true"


class ProductPage(msgspec.Struct, kw_only=True):
    items: list[Product]
    next_cursor: str | None


class Category(msgspec.Struct, kw_only=True):
    """A category, and how many of its products are on sale."""

    name: str
    products: int


class Categories(msgspec.Struct, kw_only=True):
    items: list[Category]


class NewProduct(Input, frozen=True, kw_only=True):
    sku: str
    name: str
    category: str
    description: str
    price_cents: int
    on_sale: bool = True


class ProductChange(Input, frozen=True, kw_only=True):
    """The fields to change; at least one."""

    name: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    price_cents: int | UnsetType = UNSET
    on_sale: bool | UnsetType = UNSET


def routes(shop: Shop) -> Blueprint:
    products, shelves = Blueprint("catalogue", __name__, url_prefix="/api/products"), shop.catalogue

    @products.get("")
    @accepts(query=Browse, answers=ProductPage, problems=[pages.BadCursor])
    def browse(query: Browse) -> Answer:
        """Products in the order in which they were added."""
        wanted = Wanted(
            search=query.search,
            category=query.category,
            on_sale=None if query.on_sale == "any" else query.on_sale == "true",
        )
        (after,) = pages.decode(query.cursor, tuple[Position]) or (0,)
        items, more = shelves.page(wanted, query.limit, after)
        return ProductPage(items=items, next_cursor=pages.encode((more,)) if more else None)

    @products.get("/categories")
    @accepts(answers=Categories)
    def categories() -> Answer:
        """Categories with something on sale."""
        return Categories(items=[Category(name=name, products=n) for name, n in shelves.categories().items()])

    @products.get("/<sku>")
    @accepts(answers=Product, problems=[UnknownProduct])
    def show(sku: str) -> Answer:
        """One product."""
        return shelves.get(sku)

    @products.post("")
    @accepts(json=NewProduct, answers={201: Product}, problems=[NotLoggedIn, Forbidden, BadProduct, SkuTaken])
    def add(json: NewProduct) -> Answer:
        """The operator puts a new product on the shelves."""
        require_operator()
        product = shelves.add(Product(**msgspec.structs.asdict(json)))
        return product, 201, {"Location": f"/api/products/{product.sku}"}

    @products.patch("/<sku>")
    @accepts(json=ProductChange, answers=Product, problems=[NotLoggedIn, Forbidden, BadProduct, UnknownProduct])
    def change(sku: str, json: ProductChange) -> Answer:
        """The operator changes a product, for example its price; its revision grows by one."""
        require_operator()
        changes = {name: value for name, value in msgspec.structs.asdict(json).items() if value is not UNSET}
        if not changes:
            raise invalid("", "name at least one field to change")
        return shelves.change(sku, **changes)

    return products


Position = Annotated[int, Meta(ge=0, lt=2**31)]
