"""What notifications tells its own relay: the outbox of the phones, one stream, relayed in its order.

A device's queue stands before every message that it is to get, because its registration was committed before them.
"""

from __future__ import annotations

from typing import ClassVar

from sagashop.messages import Message
from services.notifications.store import Broadcast, Notice

CHANNEL = "notifications.phones"


class _ForPhones(Message, kw_only=True):
    channel: ClassVar[str] = CHANNEL


class AddQueue(_ForPhones):
    """A customer has a new device."""

    device_id: str
    customer_id: str


class RemoveQueue(_ForPhones):
    """A device is gone for good, and what waits for it."""

    device_id: str


class Tell(_ForPhones):
    """A notice for every device of a customer."""

    customer_id: str
    notice: Notice


class TellAll(_ForPhones):
    """A broadcast for every device."""

    broadcast: Broadcast
