"""The web process: `gunicorn 'services.chat.app:create()'`."""

from __future__ import annotations

from flask import Flask

from sagashop import redis_clients
from sagashop import settings as env
from sagashop.settings import Settings
from sagashop.web.app import create_app
from services.chat.routes import SERVICE, status


def create(settings: Settings | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(Settings)
    return create_app(
        SERVICE,
        settings,
        blueprints=[status()],
        checks={"redis-session": redis_clients.check("redis-session", redis_clients.session(settings))},
        sessions=None,
    )
