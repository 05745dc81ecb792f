"""What can be set in the fulfillment service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sagashop.settings import Settings


class FulfillmentSettings(Settings, kw_only=True, frozen=True):
    """The shared settings, and what only fulfillment needs."""

    opening_stock: Annotated[int, Meta(ge=0, description="Pieces that a new product starts with")] = 100
    carrier_url: Annotated[str, Meta(description="Where the carrier takes bookings")] = "http://127.0.0.1:18007"
    carrier_timeout_s: Annotated[float, Meta(gt=0, description="The carrier may take so long to answer, seconds")] = 5.0
    carrier_calls: Annotated[int, Meta(ge=1, description="Calls to the carrier of one worker at a time")] = 32
    carrier_failures: Annotated[
        int, Meta(ge=1, description="After so many failed calls in a row the carrier is left in peace")
    ] = 5
    carrier_rest_s: Annotated[float, Meta(gt=0, description="So long; then one call is tried, seconds")] = 5.0
    parcel_timeout_s: Annotated[
        float, Meta(gt=0, description="The carrier is called again about a parcel of which nothing was heard, seconds")
    ] = 300.0
