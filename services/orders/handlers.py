"""What orders does about messages. Every decision is one event of one order, or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog

from contracts.fulfillment import ShipmentBooked
from contracts.orders import OrderShipped
from contracts.storefront import CustomerRegistered, ProductPriced
from sagashop.effects import Effects, Expect, Put, Rows
from sagashop.handlers import Handlers
from sagashop.messages import Message
from sagashop.saga import Moves, Saga
from sagashop.tasks.task import TaskMessage, reopened, task_key
from services.orders.domain import Order, StepOverdue, moved
from services.orders.messages import WORK
from services.orders.store import customer_key, order_key, product_key, read_order, record

log = structlog.get_logger()


def make_handlers(saga: Saga) -> Handlers:
    """The messages orders handles, with this saga's timeouts."""
    handlers = Handlers(keys=_keys, view=_view)

    @handlers.on(*saga.replies)
    def answered(reply: Message, order: Order | None) -> Effects:
        """A step answered. Of an order that has left redis-ledger nothing is waiting any more."""
        return _decided(saga, order, saga.answered(order.phase, order.steps, reply)) if order else Effects()

    @handlers.on(StepOverdue)
    def overdue(timer: StepOverdue, order: Order | None) -> Effects:
        """A step did not answer in time."""
        if order is None:
            return Effects()
        moves = saga.overdue(order.phase, order.steps, timer.step, timer.status, timer.attempt)
        return _decided(saga, order, moves)

    @handlers.on(ShipmentBooked)
    def shipped(booked: ShipmentBooked, order: Order | None) -> Effects:
        """The parcel left; the tracking number belongs to the order's history."""
        if order is None or order.tracking:
            return Effects()
        event = OrderShipped(order_id=order.order_id, customer_id=order.customer_id, tracking=booked.tracking)
        return record(saga, order, event)

    @handlers.on(ProductPriced)
    def priced(product: ProductPriced, row: dict[str, str]) -> Effects:
        """Keep the newest price, whatever order the revisions arrive in."""
        return _keep_newest(product_key(product.sku), row, product.revision, {
            "name": product.name, "price_cents": product.price_cents, "on_sale": int(product.on_sale),
        })  # fmt: skip

    @handlers.on(CustomerRegistered)
    def registered(customer: CustomerRegistered, row: dict[str, str]) -> Effects:
        """Know who may order, whatever order the revisions arrive in."""
        fields: dict[str, str | int] = {"name": customer.name, "email": customer.email}
        return _keep_newest(customer_key(customer.customer_id), row, customer.revision, fields)

    @handlers.on(*WORK, only_replayed=True)
    def once_more(work: TaskMessage, rows: Rows) -> Effects:
        """A dead letter of long work goes to its queue again."""
        return reopened("orders", work, rows)

    return handlers


def _decided(saga: Saga, order: Order, moves: Moves) -> Effects:
    if moves.alert:
        log.warning("saga.alert", order_id=order.order_id, alert=moves.alert, status=order.status.value)
    event = moved(order, moves)
    return record(saga, order, event) if event else Effects()


def _keep_newest(key: str, row: dict[str, str], revision: int, fields: dict[str, str | int]) -> Effects:
    known = row.get("revision")
    if known is not None and int(known) >= revision:
        return Effects()
    return Effects(expect=[Expect(key, "revision", known)], write=[Put(key, {"revision": revision, **fields})])


def _keys(message: Any) -> Iterable[str]:
    match message:
        case ProductPriced():
            return [product_key(message.sku)]
        case CustomerRegistered():
            return [customer_key(message.customer_id)]
        case TaskMessage():
            return [task_key("orders", message.task_id)]
        case _:
            return [order_key(message.order_id)]


def _view(message: Any, rows: Rows) -> Any:
    match message:
        case ProductPriced() | CustomerRegistered():
            return next(rows.get(key, {}) for key in _keys(message))
        case TaskMessage():
            return rows
        case _:
            return read_order(rows, message.order_id)
