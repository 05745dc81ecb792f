"""The web process: `gunicorn 'services.payments.app:create()'`."""

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
from services.payments import audit
from services.payments.routes import all_accounts, own_account
from services.payments.settings import PaymentsSettings
from services.payments.teller import Teller
from services.payments.topology import TOPOLOGY

CHANNELS = ["payments.commands", "payments.events"]


def create(settings: PaymentsSettings | None = None, *, bus: Bus | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(PaymentsSettings)
    bus, engine = bus or connect_bus(settings), sql.engine(settings.database_url)
    ledger, session = redis_clients.ledger(settings), redis_clients.session(settings)
    return create_app(
        "payments",
        settings,
        blueprints=[
            own_account(bus, Teller(bus, settings.terms), engine),
            all_accounts(bus, engine),
            admin_blueprint("payments", ledger, CHANNELS, TOPOLOGY),
            audit_blueprint(audit.house(ledger, engine, CHANNELS, elsewhere("payments", settings, ledger, TOPOLOGY))),
        ],
        checks={
            "redis-ledger": redis_clients.check("redis-ledger", ledger),
            "redis-session": redis_clients.check("redis-session", session),
            "database": sql.check(engine),
        },
        sessions=Sessions(session, settings.session_ttl_s, settings.session_max_s),
    )
