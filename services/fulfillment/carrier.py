"""The process that talks to the carrier: `python -m services.fulfillment.carrier`.

It takes bookings from the queue `fulfillment.booking` and brings the carrier's answer back to fulfillment as a timer
that is due at once. Delivery: at least once; the carrier knows a repeated booking by its key, and a second answer about
an order finds its parcel gone (handlers.py, TABLE).
"""

from __future__ import annotations

import threading
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from sagashop import settings, worker
from sagashop.bus import Bus, connect_bus
from sagashop.effects import Effects, SetTimer
from sagashop.errors import Unavailable
from sagashop.messages import Catalogue
from sagashop.rabbit.consumer import GiveUp, Later, Received
from sagashop.tasks import process
from sagashop.tasks.opening import opened
from services.fulfillment.calling import Cancelled, Carrier, CarrierAway, CarrierRefused
from services.fulfillment.messages import QUEUE, WORK, BookParcel, ParcelTaken
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.store import SERVICE
from services.fulfillment.topology import TOPOLOGY

log = structlog.get_logger()


class Dispatcher:
    """Carries out one message of the queue after the other, in as many threads as call it."""

    def __init__(self, carrier: Carrier, bus: Bus, stopping: threading.Event) -> None:
        self._carrier, self._bus, self._stopping = carrier, bus, stopping
        self._catalogue = Catalogue(WORK)

    def handle(self, received: Received) -> None:
        """For `Consumer`. A carrier that is away counts against no message: a parcel waits for as long as it takes."""
        envelope = opened(self._catalogue, received)
        message: Any = envelope.message
        with bound_contextvars(order_id=message.order_id, trace=envelope.trace):
            try:
                self._carry_out(message)
            except CarrierAway as why:
                self._stopping.wait(self._carrier.rest_s / 2)  # here, so that the queue does not run in circles
                raise Later(str(why)) from why
            except Unavailable as why:
                raise Later(str(why)) from why
            except CarrierRefused as why:
                raise GiveUp(str(why)) from why

    def _carry_out(self, message: Any) -> None:
        if not isinstance(message, BookParcel):
            self._carrier.cancel(message.shipment_id)
            log.info("booking.cancelled")
            return
        try:
            tracking = self._carrier.book(message.shipment_id)
        except Cancelled:
            log.info("booking.came_too_late")
            return
        answer = SetTimer(ParcelTaken(order_id=message.order_id, tracking=tracking), after_s=0)
        self._bus.finish(SERVICE, Effects(timers=[answer]))
        log.info("parcel.booked", tracking=tracking)


def start() -> int:
    """Work until told to stop; the exit status."""
    chosen = settings.load(FulfillmentSettings)
    carrier = Carrier(chosen.carrier_url, timeout_s=chosen.carrier_timeout_s, failures=chosen.carrier_failures,
                      rest_s=chosen.carrier_rest_s, calls=chosen.carrier_calls)  # fmt: skip
    bus = connect_bus(chosen)
    return process.run(SERVICE, QUEUE, chosen, lambda stopping: Dispatcher(carrier, bus, stopping).handle, TOPOLOGY,
                       jobs=chosen.carrier_calls)  # fmt: skip


if __name__ == "__main__":
    worker.main(start)
