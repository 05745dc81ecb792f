"""The web process: `gunicorn 'services.fulfillment.app:create()'`."""

from __future__ import annotations

from flask import Flask

from sagashop import redis_clients, sql
from sagashop import settings as env
from sagashop.audit.elsewhere import elsewhere
from sagashop.audit.web import audit_blueprint
from sagashop.bus import Bus, connect_bus
from sagashop.sessions import Sessions
from sagashop.web.admin import admin_blueprint
from sagashop.web.app import create_app
from services.fulfillment import audit
from services.fulfillment.routes import shipping, stock
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.shipments import Shipments
from services.fulfillment.stockroom import Stockroom
from services.fulfillment.store import SERVICE
from services.fulfillment.topology import TOPOLOGY

CHANNELS = ["fulfillment.commands", "fulfillment.timers", "fulfillment.events"]


def create(settings: FulfillmentSettings | None = None, *, bus: Bus | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(FulfillmentSettings)
    stockroom = Stockroom(bus or connect_bus(settings))
    ledger, session = redis_clients.ledger(settings), redis_clients.session(settings)
    engine = sql.engine(settings.database_url)
    return create_app(
        SERVICE,
        settings,
        blueprints=[
            stock(stockroom),
            shipping(Shipments(stockroom, engine)),
            admin_blueprint(SERVICE, ledger, CHANNELS, TOPOLOGY),
            audit_blueprint(audit.house(ledger, engine, CHANNELS, elsewhere(SERVICE, settings, ledger, TOPOLOGY))),
        ],
        checks={
            "redis-ledger": redis_clients.check("redis-ledger", ledger),
            "redis-session": redis_clients.check("redis-session", session),
            "database": sql.check(engine),
        },
        sessions=Sessions(session, settings.session_ttl_s, settings.session_max_s),
    )
