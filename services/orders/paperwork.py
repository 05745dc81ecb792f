"""Long work of orders over HTTP: each request commits a task and answers 202; a worker does it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from flask import Blueprint
from msgspec import Meta, field

from sagashop.errors import Conflict, NotLoggedIn
from sagashop.tasks.desk import BadTaskKey, TaskKeyReused, Tasks
from sagashop.tasks.task import OPERATORS
from sagashop.tasks.web import TaskView, accepted, idempotency_key
from sagashop.web.admin import OPERATORS_ONLY
from sagashop.web.auth import require_login, require_operator
from sagashop.web.inputs import Answer, Input, accepts, invalid
from services.orders.domain import OrderStatus
from services.orders.history import NoOrder, Orders
from services.orders.messages import PREFIX, Format, MakeInvoice, MakeSalesReport

INVOICED = frozenset({OrderStatus.CONFIRMED, OrderStatus.COMPLETED})
LONGEST_DAYS = 3 * 366


class NotInvoiced(Conflict):
    kind, title = "not-invoiced", "There is an invoice for what is confirmed and not given back"


class SalesReport(Input, frozen=True, kw_only=True):
    """Orders placed from the day `from` to the day `to`, UTC, both included."""

    first: Annotated[date, Meta(description="First day")] = field(name="from")
    last: Annotated[date, Meta(description="Last day")] = field(name="to")
    format: Format = "csv"


def paperwork(tasks: Tasks, orders: Orders) -> Blueprint:
    """Invoices for customers, reports for operators."""
    routes = Blueprint("paperwork", __name__)

    @routes.post("/api/orders/<order_id>/invoice")
    @accepts(answers={202: TaskView}, problems=[NotLoggedIn, NoOrder, NotInvoiced, BadTaskKey, TaskKeyReused])
    def invoice(order_id: str) -> Answer:
        """Have the invoice of an order made, as a PDF."""
        who = require_login()
        order = orders.seen_by(who, order_id)
        if order.status not in INVOICED:
            raise NotInvoiced(f"The order is {order.status.value}.", order_status=order.status.value)
        made = tasks.submit(lambda task_id: MakeInvoice(task_id=task_id, order_id=order_id), who.user_id,
                            idempotency_key())  # fmt: skip
        return accepted(made, PREFIX)

    @routes.post("/api/reports/sales")
    @accepts(json=SalesReport, answers={202: TaskView}, problems=[*OPERATORS_ONLY, BadTaskKey, TaskKeyReused])
    def sales(json: SalesReport) -> Answer:
        """Have a list of everything that was sold made. All operators see it."""
        require_operator()
        if not 0 <= (json.last - json.first).days < LONGEST_DAYS:
            raise invalid("to", "not before `from`, and no more than three years after it")
        days = {"first_day": json.first.isoformat(), "last_day": json.last.isoformat()}
        made = tasks.submit(lambda task_id: MakeSalesReport(task_id=task_id, **days, format=json.format), OPERATORS,
                            idempotency_key())  # fmt: skip
        return accepted(made, PREFIX)

    return routes
