"""The web applications of every service, made as their processes make them, and connected to nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flask import Flask

from sagashop.bus import connect_bus
from sagashop.settings import Settings
from services.analytics import app as analytics
from services.chat import app as chat
from services.fulfillment import app as fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.notifications import app as notifications
from services.notifications import live as gateway
from services.notifications.settings import NotificationsSettings
from services.orders import app as orders
from services.orders import live
from services.orders.settings import OrdersSettings
from services.payments import app as payments
from services.payments.settings import PaymentsSettings
from services.storefront import app as storefront
from services.storefront.passwords import Passwords
from services.storefront.settings import StorefrontSettings

SETTINGS: Mapping[str, type[Settings]] = {
    "storefront": StorefrontSettings,
    "orders": OrdersSettings,
    "payments": PaymentsSettings,
    "fulfillment": FulfillmentSettings,
    "notifications": NotificationsSettings,
    "analytics": Settings,
    "chat": Settings,
}


def apps(service: str, folder: Path) -> list[Flask]:
    """The applications of a service; one that needs a database has it in this folder."""
    url = f"sqlite:///{folder}/{service}.db"
    make: Mapping[str, Callable[[], list[Flask]]] = {
        "storefront": lambda: [_storefront(StorefrontSettings(database_url=url))],
        "orders": lambda: [made.create(OrdersSettings(database_url=url)) for made in (orders, live)],
        "payments": lambda: [payments.create(PaymentsSettings(database_url=url))],
        "fulfillment": lambda: [fulfillment.create(FulfillmentSettings(database_url=url))],
        "notifications": lambda: [made.create(NotificationsSettings()) for made in (notifications, gateway)],
        "analytics": lambda: [analytics.create(Settings())],
        "chat": lambda: [chat.create(Settings())],
    }
    return make[service]()


def _storefront(settings: StorefrontSettings) -> Flask:
    return storefront.build(settings, connect_bus(settings), Passwords())
