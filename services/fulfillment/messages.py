"""What fulfillment tells itself, and what it asks of the process that talks to the carrier."""

from __future__ import annotations

from typing import ClassVar

from sagashop.messages import Message

QUEUE = "booking"


class BookParcel(Message):
    """Let the carrier come for this order's parcel. Answer: ParcelTaken."""

    channel: ClassVar[str] = "fulfillment.booking"

    order_id: str
    shipment_id: str


class CancelBooking(Message):
    """The parcel was unpacked: the carrier need not come, also where its booking has not arrived yet."""

    channel: ClassVar[str] = "fulfillment.booking"

    order_id: str
    shipment_id: str


WORK: list[type[Message]] = [BookParcel, CancelBooking]


class ParcelOverdue(Message):
    """A timer: the carrier has not said for so long that it has the parcel. Perhaps the call was lost with RabbitMQ's
    data, or in a restored backup.
    """

    channel: ClassVar[str] = "fulfillment.timers"

    order_id: str


class ParcelTaken(Message):
    """The carrier has the parcel, under this number. It comes as a timer that is due at once: an equal answer is one
    with the first, and none leaves redis-ledger.
    """

    channel: ClassVar[str] = "fulfillment.timers"

    order_id: str
    tracking: str
