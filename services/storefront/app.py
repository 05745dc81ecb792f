"""The web process: `gunicorn 'services.storefront.app:create()'`."""

from __future__ import annotations

from flask import Flask

from sagashop import log, redis_clients, sql
from sagashop.audit.elsewhere import elsewhere
from sagashop.audit.web import audit_blueprint
from sagashop.bus import Bus, connect_bus
from sagashop.sessions import Sessions
from sagashop.settings import load
from sagashop.web.admin import admin_blueprint
from sagashop.web.app import create_app
from services.storefront import audit, cookies
from services.storefront.attempts import Attempts
from services.storefront.behaviour import Behaviour
from services.storefront.carts import Carts
from services.storefront.catalogue import Catalogue
from services.storefront.customers import Customers
from services.storefront.passwords import Passwords
from services.storefront.routes import blueprints
from services.storefront.seed import open_shop
from services.storefront.settings import StorefrontSettings
from services.storefront.shop import Shop
from services.storefront.topology import TOPOLOGY

CHANNELS = ["storefront.events", "storefront.behaviour"]


def create() -> Flask:
    """The app as the environment describes it, over a migrated and seeded database."""
    settings = load(StorefrontSettings)
    log.configure("storefront", settings.log_level, settings.log_format)
    return build(settings, connect_bus(settings), Passwords())


def build(settings: StorefrontSettings, bus: Bus, passwords: Passwords) -> Flask:
    """The app over this bus. Migrates and seeds the database; connects to no Redis before the first request."""
    engine, redis = sql.engine(settings.database_url), redis_clients.session(settings)
    sql.migrate(engine, "services.storefront")
    check_sessions = redis_clients.check("redis-session", redis)
    shop = Shop(
        catalogue=Catalogue(engine),
        customers=Customers(engine, passwords),
        attempts=Attempts(redis, settings.login_attempts, settings.login_pause_s),
        carts=Carts(redis, settings.cart_ttl_s),
        behaviour=Behaviour(bus).start(),
        check_sessions=check_sessions,
    )
    open_shop(shop.catalogue, shop.customers, settings)
    ledger = redis_clients.ledger(settings)
    app = create_app(
        "storefront",
        settings,
        blueprints=[
            *blueprints(shop),
            admin_blueprint("storefront", ledger, CHANNELS, TOPOLOGY),
            audit_blueprint(audit.house(ledger, engine, CHANNELS, elsewhere("storefront", settings, ledger, TOPOLOGY))),
        ],
        checks={"redis-session": check_sessions, "sql": sql.check(engine)},
        sessions=Sessions(redis, settings.session_ttl_s, settings.session_max_s),
    )
    app.extensions["storefront"] = shop
    cookies.install(app, settings)
    return app
