"""What orders asks of its own worker for long work. The channel is a stream of ours, and a queue on RabbitMQ."""

from __future__ import annotations

from typing import ClassVar, Literal

from sagashop.tasks.task import TaskMessage

QUEUE = "tasks"
PREFIX = "/api/orders/tasks"
"""Where they are found over HTTP."""
Format = Literal["csv", "xlsx"]


class MakeInvoice(TaskMessage):
    """Make the invoice of an order as a PDF."""

    channel: ClassVar[str] = "orders.tasks"

    order_id: str


class MakeSalesReport(TaskMessage):
    """List what was sold, of orders placed from the first day to the last (YYYY-MM-DD, UTC), both included."""

    channel: ClassVar[str] = "orders.tasks"

    first_day: str
    last_day: str
    format: Format


WORK: list[type[TaskMessage]] = [MakeInvoice, MakeSalesReport]
