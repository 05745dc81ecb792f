"""The process that carries out the commands of orders: `python -m services.fulfillment.worker`."""

from __future__ import annotations

from sagashop import settings, worker
from services.fulfillment.handlers import make_handlers
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.store import SERVICE


def start() -> int:
    """Consume until told to stop; the exit status."""
    chosen = settings.load(FulfillmentSettings)
    return worker.run(SERVICE, chosen, lambda: make_handlers(chosen))


if __name__ == "__main__":
    worker.main(start)
