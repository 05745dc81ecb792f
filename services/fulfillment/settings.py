"""What can be set in the fulfillment service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sagashop.settings import Settings


class FulfillmentSettings(Settings, kw_only=True, frozen=True):
    """The shared settings, and what only fulfillment needs."""

    opening_stock: Annotated[int, Meta(ge=0, description="Pieces that a new product starts with")] = 100
    carrier_delay_s: Annotated[
        float, Meta(ge=0, description="The carrier fetches a parcel so long after it was asked for, seconds")
    ] = 5.0
