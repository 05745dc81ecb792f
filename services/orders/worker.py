"""The process that moves sagas on: `python -m services.orders.worker`."""

from __future__ import annotations

from sagashop import settings, worker
from services.orders.handlers import make_handlers
from services.orders.settings import OrdersSettings


def start() -> int:
    """Consume until told to stop; the exit status."""
    chosen = settings.load(OrdersSettings)
    return worker.run("orders", chosen, lambda: make_handlers(chosen.saga))


if __name__ == "__main__":
    worker.main(start)
