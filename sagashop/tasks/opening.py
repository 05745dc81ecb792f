"""What RabbitMQ has delivered, as the message that it is."""

from __future__ import annotations

import msgspec

from sagashop.errors import MalformedMessage
from sagashop.messages import Catalogue, Envelope
from sagashop.rabbit.consumer import GiveUp, Received


def opened(catalogue: Catalogue, received: Received) -> Envelope:
    """The message in a delivery. Raises: GiveUp where it cannot be read."""
    try:
        return catalogue.open(msgspec.json.decode(received.body, type=dict[str, str]))
    except (MalformedMessage, ValueError) as wrong:
        raise GiveUp(f"malformed: {wrong}") from wrong
