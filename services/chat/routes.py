"""Chat over HTTP: for now only what is and what is not."""

from __future__ import annotations

from flask import Blueprint
from msgspec import Struct

from sagashop.web.inputs import Answer, accepts

SERVICE = "chat"


class Status(Struct, frozen=True, kw_only=True):
    """What this service does today, and what it will do."""

    service: str = SERVICE
    works: tuple[str, ...] = ()
    planned: tuple[str, ...] = ("rooms over Redis pub/sub", "presence and typing", "history for late joiners")


def status() -> Blueprint:
    """A plain answer for whoever comes early."""
    routes = Blueprint("status", __name__)

    @routes.get("/api/chat/")
    @accepts(answers=Status)
    def chat_status() -> Answer:
        return Status()

    return routes
