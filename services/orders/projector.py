"""The process that keeps the journal and the order list in SQL: `python -m services.orders.projector`."""

from __future__ import annotations

from sagashop import projector, settings, worker
from services.orders.readmodel import OrderList
from services.orders.settings import OrdersSettings


def start() -> int:
    """Follow orders.events until told to stop; the exit status."""
    return projector.run("orders", settings.load(OrdersSettings), [OrderList()])


if __name__ == "__main__":
    worker.main(start)
