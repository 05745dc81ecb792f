"""Notifications over HTTP."""

from __future__ import annotations

from flask import Blueprint
from msgspec import Struct

from sagashop.bus import Bus
from sagashop.errors import NotLoggedIn
from sagashop.web.auth import require_login
from sagashop.web.inputs import Answer, accepts
from services.notifications.store import Notice, notices_of


class Status(Struct, frozen=True, kw_only=True):
    """What this service does today, and what it will do."""

    service: str = "notifications"
    works: tuple[str, ...] = ("the last 50 notices about a customer's own orders, at /api/notifications/mine",)
    planned: tuple[str, ...] = ("phones and broadcasts over RabbitMQ", "a device gateway", "e-mail over a job queue")


class Notices(Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: list[Notice]


def notices(bus: Bus) -> Blueprint:
    """What customers were told."""
    routes = Blueprint("notices", __name__)

    @routes.get("/api/notifications/")
    @accepts(answers=Status)
    def status() -> Answer:
        return Status()

    @routes.get("/api/notifications/mine")
    @accepts(answers=Notices, problems=[NotLoggedIn])
    def mine() -> Answer:
        return Notices(items=notices_of(bus, require_login().user_id))

    return routes
