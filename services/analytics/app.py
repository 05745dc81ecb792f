"""The web process: `gunicorn 'services.analytics.app:create()'`."""

from __future__ import annotations

from flask import Flask

from sagashop import redis_clients
from sagashop import settings as env
from sagashop.audit.elsewhere import elsewhere
from sagashop.audit.house import House
from sagashop.audit.web import audit_blueprint
from sagashop.bus import Bus, connect_bus
from sagashop.sessions import Sessions
from sagashop.settings import Settings
from sagashop.web.admin import admin_blueprint
from sagashop.web.app import create_app
from services.analytics.routes import figures
from services.analytics.store import SERVICE
from services.analytics.topology import TOPOLOGY


def create(settings: Settings | None = None, *, bus: Bus | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(Settings)
    ledger, session = redis_clients.ledger(settings), redis_clients.session(settings)
    return create_app(
        SERVICE,
        settings,
        blueprints=[
            figures(bus or connect_bus(settings)),
            admin_blueprint(SERVICE, ledger, [], TOPOLOGY),
            audit_blueprint(House(SERVICE, ledger, [], elsewhere=elsewhere(SERVICE, settings, ledger, TOPOLOGY))),
        ],
        checks={"redis-ledger": redis_clients.check("redis-ledger", ledger)},
        sessions=Sessions(session, settings.session_ttl_s, settings.session_max_s),
    )
