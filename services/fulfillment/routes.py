"""Fulfillment over HTTP."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, request
from msgspec import Meta, Struct, field

from sagashop import pages
from sagashop.errors import Forbidden, NotFound, NotLoggedIn
from sagashop.messages import new_id
from sagashop.web.auth import require_login, require_operator
from sagashop.web.inputs import Answer, Input, accepts, invalid
from services.fulfillment.domain import Shelf
from services.fulfillment.shipments import Shipments, ShipmentView
from services.fulfillment.stockroom import IdReused, Stockroom, UnknownProduct

MAX_ID = 64


class NoShipment(NotFound):
    kind, title = "no-shipment", "There is no parcel of yours for this order"


class StockLevel(Struct, frozen=True, kw_only=True):
    """Pieces of one product: free to order, put aside for orders, and gone."""

    sku: str
    available: int
    reserved: int
    sold: int


class StockPage(Struct, frozen=True, kw_only=True):
    items: list[StockLevel]
    next_cursor: str | None


class StockQuery(pages.Paging, frozen=True, kw_only=True):
    """All products by page; or, with `sku`, just these. Products that are not known are left out."""

    sku: Annotated[list[str], Meta(max_length=100, description="May be given up to 100 times")] = field(
        default_factory=list
    )


class Restock(Input, frozen=True, kw_only=True):
    """New pieces. With the same `restock_id` (or Idempotency-Key) they are counted once."""

    quantity: Annotated[int, Meta(ge=1, le=100_000)]
    restock_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None


class Restocked(StockLevel, frozen=True, kw_only=True):
    restock_id: str


def stock(stockroom: Stockroom) -> Blueprint:
    """What is on the shelves."""
    routes = Blueprint("stock", __name__)

    @routes.get("/api/stock")
    @accepts(query=StockQuery, answers=StockPage, problems=[pages.BadCursor])
    def levels(query: StockQuery) -> Answer:
        if query.sku:
            return StockPage(items=[_level(shelf) for shelf in stockroom.shelves(query.sku)], next_cursor=None)
        (after,) = pages.decode(query.cursor, tuple[str]) or ("",)
        found = stockroom.page(query.limit + 1, after)
        more = len(found) > query.limit
        shown = found[: query.limit]
        return StockPage(
            items=[_level(shelf) for shelf in shown], next_cursor=pages.encode((shown[-1].sku,)) if more else None
        )

    @routes.get("/api/stock/<sku>")
    @accepts(answers=StockLevel, problems=[UnknownProduct])
    def level(sku: str) -> Answer:
        return _level(stockroom.shelf(sku))

    @routes.post("/api/stock/<sku>/restock")
    @accepts(json=Restock, answers=Restocked, problems=[NotLoggedIn, Forbidden, UnknownProduct, IdReused])
    def restock(sku: str, json: Restock) -> Answer:
        require_operator()
        restock_id = json.restock_id or _idempotency_key() or new_id()
        shelf = stockroom.restock(sku, json.quantity, restock_id)
        return Restocked(
            sku=sku, available=shelf.available, reserved=shelf.reserved, sold=shelf.sold, restock_id=restock_id
        )

    return routes


def shipping(shipments: Shipments) -> Blueprint:
    """Where parcels are."""
    routes = Blueprint("shipments", __name__)

    @routes.get("/api/shipments/<order_id>")
    @accepts(answers=ShipmentView, problems=[NotLoggedIn, NoShipment])
    def shipment(order_id: str) -> Answer:
        who = require_login()
        found = shipments.find(order_id)
        if found is None or (who.role != "operator" and found.customer_id != who.user_id):
            raise NoShipment(f"Order {order_id} has none, or it is not yours.")
        return found

    return routes


def _level(shelf: Shelf) -> StockLevel:
    return StockLevel(sku=shelf.sku, available=shelf.available, reserved=shelf.reserved, sold=shelf.sold)


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_ID:
        raise invalid("Idempotency-Key", f"at most {MAX_ID} characters")
    return key
