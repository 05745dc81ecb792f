"""What the shop opens with: the products of products.json, and the demo accounts that the settings name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import structlog

from services.storefront.catalogue import Catalogue
from services.storefront.customers import Customers
from services.storefront.domain import Product
from services.storefront.settings import StorefrontSettings

log = structlog.get_logger()

FIRST_PRODUCTS = "first products"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sku: str
    name: str
    price_cents: int
    description: str


@cache
def first_products() -> dict[str, list[Product]]:
    """The products of products.json by category."""
    text = Path(__file__).with_name("products.json").read_bytes()
    shelves = msgspec.json.decode(text, type=dict[str, list[_Entry]])
    return {
        category: [Product(category=category, **msgspec.structs.asdict(entry)) for entry in entries]
        for category, entries in shelves.items()
    }


def open_shop(catalogue: Catalogue, customers: Customers, settings: StorefrontSettings) -> None:
    """Fill an empty shop; does nothing to one that is open already. Safe when several processes start at once."""
    if catalogue.seed(FIRST_PRODUCTS, list(first_products().values())):
        log.info("catalogue.seeded", products=sum(map(len, first_products().values())))
    if settings.demo_email and settings.demo_password:
        customers.ensure("Demo Customer", settings.demo_email, settings.demo_password, "customer")
    if settings.operator_email and settings.operator_password:
        customers.ensure("Demo Operator", settings.operator_email, settings.operator_password, "operator")
