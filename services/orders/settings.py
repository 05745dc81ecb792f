"""What can be set in the orders service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sagashop.saga import Saga
from sagashop.settings import Settings
from services.orders.saga import checkout


class OrdersSettings(Settings, kw_only=True, frozen=True):
    """The shared settings, and what only orders needs."""

    stock_timeout_s: Annotated[float, Meta(gt=0, description="Fulfillment may take so long to reserve, seconds")] = 10
    payment_timeout_s: Annotated[float, Meta(gt=0, description="Payments may take so long to hold, seconds")] = 30
    capture_timeout_s: Annotated[
        float, Meta(gt=0, description="A capture is asked for again after so long, seconds")
    ] = 10
    shipment_timeout_s: Annotated[
        float, Meta(gt=0, description="A shipment is asked for again after so long, seconds")
    ] = 10

    prefer_wait_max_s: Annotated[float, Meta(ge=0, description="Longest `Prefer: wait=N` that is granted, seconds")] = 5
    prefer_wait_places: Annotated[
        int, Meta(ge=0, description="Requests of one web process that may wait at a time; others get 202 at once")
    ] = 4

    live_connections: Annotated[int, Meta(ge=1, description="Open event streams of one live process")] = 500
    live_max_s: Annotated[float, Meta(gt=0, description="An event stream ends after so long, seconds")] = 600
    live_heartbeat_s: Annotated[
        float, Meta(gt=0, description="A sign of life on a silent event stream, and a look at the order, every")
    ] = 15

    task_jobs: Annotated[int, Meta(ge=1, description="Invoices and reports that one worker makes at a time")] = 2
    task_timeout_s: Annotated[
        float, Meta(gt=0, description="An invoice or report that takes longer is broken off, seconds")
    ] = 900

    task_quiet_s: Annotated[
        float,
        Meta(gt=0, description="An open task of which nothing was heard is asked for again after so long, seconds"),
    ] = 300

    @property
    def saga(self) -> Saga:
        """The checkout saga with these timeouts."""
        return checkout.with_timeouts(
            {
                "stock": self.stock_timeout_s,
                "payment": self.payment_timeout_s,
                "capture": self.capture_timeout_s,
                "shipment": self.shipment_timeout_s,
            }
        )
