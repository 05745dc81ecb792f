"""Orders over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from flask import Blueprint, request
from msgspec import Meta, structs
from sqlalchemy import Engine

from sagashop import log, pages
from sagashop.bus import Bus
from sagashop.errors import Conflict, Forbidden, NotLoggedIn
from sagashop.journal import request_rebuild
from sagashop.web.admin import OPERATORS_ONLY
from sagashop.web.auth import Who, require_customer, require_login, require_operator
from sagashop.web.inputs import Answer, accepts
from services.orders import readmodel
from services.orders.cancelling import Cancelling
from services.orders.domain import SETTLED, Order, OrderStatus
from services.orders.history import NoOrder, Orders
from services.orders.placing import Placed, Placing
from services.orders.settings import OrdersSettings
from services.orders.timeline import Timeline, timeline_of
from services.orders.views import (
    BadIdempotencyKey,
    Cancellation,
    KeyReused,
    ListedOrder,
    NotOnSale,
    OrderPage,
    OrderQuery,
    OrderView,
    PlaceOrder,
    PriceChanged,
    ReadModelView,
    SagaPage,
    SagaQuery,
    SagaRow,
    TooLate,
    UnknownProduct,
)
from services.orders.waiting import OPEN, WaitingRoom, wanted_wait_s

JOURNAL_WAIT_S = 1.0
UNDER_WAY = [status for status in OrderStatus if status not in SETTLED]
PlacedMs = Annotated[int, Meta(ge=0, le=2**53)]
OrderId = Annotated[str, Meta(max_length=64)]


@dataclass(frozen=True)
class Desk:
    """What the routes work with."""

    settings: OrdersSettings
    bus: Bus
    engine: Engine

    @property
    def orders(self) -> Orders:
        return Orders(self.bus, self.engine, self.settings.saga)


def customers(desk: Desk) -> Blueprint:
    """What customers do with their orders; operators may look at all of them."""
    routes = Blueprint("orders", __name__, url_prefix="/api/orders")
    saga, orders = desk.settings.saga, desk.orders
    placing, cancelling = Placing(desk.bus, saga), Cancelling(desk.bus, orders, saga)
    waiting = WaitingRoom(orders, desk.settings.prefer_wait_max_s, desk.settings.prefer_wait_places)
    refusals = [NotLoggedIn, Forbidden, UnknownProduct, NotOnSale, PriceChanged, BadIdempotencyKey, KeyReused, Conflict]

    @routes.post("")
    @accepts(json=PlaceOrder, answers={202: OrderView, 200: OrderView}, problems=refusals)
    def place(json: PlaceOrder) -> Answer:
        """202: accepted; look at Location. 200: the outcome was known within the wait that the client prefers."""
        customer_id = require_customer().user_id
        key = request.headers.get("Idempotency-Key")
        return _answer(placing.place(customer_id, json, key=key, trace=log.current("trace")), waiting)

    @routes.get("")
    @accepts(query=OrderQuery, answers=OrderPage, problems=[NotLoggedIn, Forbidden, pages.BadCursor])
    def listed(query: OrderQuery) -> Answer:
        customer_id = _whose(require_login(), query.customer_id)
        statuses = [query.status] if query.status else []
        return OrderPage(**_page(desk.engine, query, customer_id, statuses))

    @routes.get("/<order_id>")
    @accepts(answers=OrderView, problems=[NotLoggedIn, NoOrder])
    def show(order_id: str) -> Answer:
        return OrderView.of(orders.seen_by(require_login(), order_id))

    @routes.get("/<order_id>/timeline")
    @accepts(answers=Timeline, problems=[NotLoggedIn, NoOrder])
    def timeline(order_id: str) -> Answer:
        order = orders.seen_by(require_login(), order_id)
        return timeline_of(saga, order, orders.events_up_to(order, within_s=JOURNAL_WAIT_S))

    @routes.post("/<order_id>/cancellation")
    @accepts(json=Cancellation, answers={202: OrderView, 200: OrderView}, problems=[NotLoggedIn, NoOrder, TooLate])
    def cancel(order_id: str, json: Cancellation) -> Answer:
        """202: on its way back. 200: it is back already."""
        order = cancelling.cancel(require_login(), order_id, json.reason, log.current("trace"))
        return OrderView.of(order), 200 if order.status in SETTLED else 202

    return routes


def operators(desk: Desk) -> Blueprint:
    """Sagas under way, and the read model."""
    routes = Blueprint("orders_admin", __name__, url_prefix="/admin/orders")
    saga, orders = desk.settings.saga, desk.orders

    @routes.get("/sagas")
    @accepts(query=SagaQuery, answers=SagaPage, problems=[*OPERATORS_ONLY, pages.BadCursor])
    def sagas(query: SagaQuery) -> Answer:
        require_operator()
        page = _page(desk.engine, query, None, [query.status] if query.status else UNDER_WAY)
        recent = orders.rows([row.order_id for row in page["items"]])
        rows = [_saga_row(row, orders=recent) for row in page["items"]]
        return SagaPage(items=rows, next_cursor=page["next_cursor"])

    @routes.get("/sagas/<order_id>")
    @accepts(answers=Timeline, problems=[*OPERATORS_ONLY, NoOrder])
    def one_saga(order_id: str) -> Answer:
        order = orders.seen_by(require_operator(), order_id)
        return timeline_of(saga, order, orders.events_up_to(order, within_s=JOURNAL_WAIT_S))

    @routes.get("/read-model")
    @accepts(answers=ReadModelView, problems=OPERATORS_ONLY)
    def read_model() -> Answer:
        require_operator()
        with desk.engine.connect() as conn:
            return readmodel.state(conn)

    @routes.post("/read-model/rebuild")
    @accepts(answers={202: ReadModelView}, problems=OPERATORS_ONLY)
    def rebuild() -> Answer:
        """The projector rebuilds the order list from the journal; orders flow on, and readers see the old rows."""
        require_operator()
        request_rebuild(desk.engine, readmodel.OrderList.name)
        with desk.engine.connect() as conn:
            return readmodel.state(conn), 202

    return routes


def _answer(placed: Placed, waiting: WaitingRoom) -> Answer:
    order, status = placed.order, 202
    headers = {"Location": f"/api/orders/{order.order_id}"}
    if placed.replayed:
        headers["Idempotency-Replayed"] = "true"
    wait_s = wanted_wait_s(request.headers.get("Prefer", ""))
    if wait_s:
        order, granted_s = waiting.wait(order, wait_s)
        if granted_s is not None:
            headers["Preference-Applied"] = f"wait={granted_s:g}"
            status = 202 if order.status in OPEN else 200
    return OrderView.of(order), status, headers


def _whose(who: Who, asked_for: str | None) -> str | None:
    """Whose orders to list; None for everybody's. Raises: Forbidden where a customer asks for somebody else's."""
    if who.role == "operator":
        return asked_for
    if asked_for not in (None, who.user_id):
        raise Forbidden("These are somebody else's orders.")
    return who.user_id


def _page(engine: Engine, query: pages.Paging, customer_id: str | None, statuses: list[OrderStatus]) -> dict[str, Any]:
    after = pages.decode(query.cursor, tuple[PlacedMs, OrderId])
    with engine.connect() as conn:
        found = readmodel.page(conn, limit=query.limit + 1, after=after, customer_id=customer_id, statuses=statuses)
    shown = found[: query.limit]
    more = pages.encode((shown[-1].placed_ms, shown[-1].order_id)) if len(found) > query.limit else None
    return {"items": shown, "next_cursor": more}


def _saga_row(row: ListedOrder, orders: dict[str, Order]) -> SagaRow:
    order = orders.get(row.order_id)
    listed = structs.asdict(row)
    if order is None:
        return SagaRow(**listed, version=0, steps={})
    return SagaRow(**{**listed, "status": order.status}, version=order.version, steps=order.steps)
