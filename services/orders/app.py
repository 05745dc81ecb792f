"""The web process: `gunicorn 'services.orders.app:create()'`."""

from __future__ import annotations

from flask import Flask

from sagashop import redis_clients, sql
from sagashop import settings as env
from sagashop.audit.elsewhere import Unroutable, elsewhere
from sagashop.audit.web import audit_blueprint
from sagashop.bus import Bus, connect_bus
from sagashop.sessions import Sessions
from sagashop.tasks.audit import TasksUnderWay
from sagashop.tasks.desk import Tasks
from sagashop.tasks.documents import Documents
from sagashop.tasks.web import tasks_blueprint
from sagashop.web.admin import admin_blueprint
from sagashop.web.app import create_app
from services.orders import audit
from services.orders.messages import PREFIX
from services.orders.paperwork import paperwork
from services.orders.routes import Desk, customers, operators
from services.orders.settings import OrdersSettings
from services.orders.topology import TOPOLOGY

CHANNELS = ["orders.events", "orders.timers"]
"""The streams that orders owns."""


def create(settings: OrdersSettings | None = None, *, bus: Bus | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(OrdersSettings)
    desk = Desk(settings, bus or connect_bus(settings), sql.engine(settings.database_url))
    tasks, documents = Tasks(desk.bus, "orders"), Documents(desk.engine)
    ledger, session = redis_clients.ledger(settings), redis_clients.session(settings)
    queues = elsewhere("orders", settings, ledger, TOPOLOGY)
    outside = [TasksUnderWay("orders", ledger), *queues, Unroutable("orders", settings.rabbitmq_url)]
    return create_app(
        "orders",
        settings,
        blueprints=[
            customers(desk),
            paperwork(tasks, desk.orders),
            tasks_blueprint(tasks, documents, PREFIX),
            operators(desk),
            admin_blueprint("orders", ledger, CHANNELS, TOPOLOGY),
            audit_blueprint(audit.house(ledger, desk.engine, settings.saga, CHANNELS, outside)),
        ],
        checks={
            "redis-ledger": redis_clients.check("redis-ledger", ledger),
            "redis-session": redis_clients.check("redis-session", session),
            "database": sql.check(desk.engine),
        },
        sessions=Sessions(session, settings.session_ttl_s, settings.session_max_s),
    )
