"""What storefront answers over HTTP, by subject."""

from __future__ import annotations

from flask import Blueprint

from services.storefront.routes import account, admin, cart, catalogue, customers
from services.storefront.shop import Shop


def blueprints(shop: Shop) -> list[Blueprint]:
    """All routes of the service."""
    return [catalogue.routes(shop), customers.routes(shop), account.routes(shop), cart.routes(shop), admin.routes(shop)]
