"""Analytics over HTTP."""

from __future__ import annotations

from flask import Blueprint

from sagashop.bus import Bus
from sagashop.messages import now_ms
from sagashop.web.inputs import Answer, accepts
from services.analytics import store


def figures(bus: Bus) -> Blueprint:
    """The counts, for everyone to see: they name no customer."""
    routes = Blueprint("figures", __name__)

    @routes.get("/api/analytics/summary")
    @accepts(answers=store.Summary)
    def summary() -> Answer:
        return store.summary(bus, now_ms())

    return routes
