"""The process that keeps the journal and its read model: `python -m services.fulfillment.projector`."""

from __future__ import annotations

from sagashop import projector, settings, worker
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.shipments import Parcels
from services.fulfillment.store import SERVICE


def start() -> int:
    """Follow fulfillment.events until told to stop; the exit status."""
    return projector.run(SERVICE, settings.load(FulfillmentSettings), [Parcels()])


if __name__ == "__main__":
    worker.main(start)
