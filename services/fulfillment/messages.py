"""What fulfillment tells itself."""

from __future__ import annotations

from typing import ClassVar

from sagashop.messages import Message


class ShipmentDue(Message):
    """The carrier stands at the door for this order's parcel."""

    channel: ClassVar[str] = "fulfillment.timers"

    order_id: str
