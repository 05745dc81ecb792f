"""Orders, payments and fulfillment with their journals on real servers, as the auditor sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select

from contracts.storefront import ProductPriced
from sagashop import redis_clients, sql
from sagashop.audit.auditor import Auditor
from sagashop.bus import connect_bus
from sagashop.handlers import Handlers
from sagashop.journal import journal
from sagashop.messages import Message, encode
from sagashop.projector import Projector, ReadModel
from sagashop.sessions import Sessions
from sagashop.settings import Settings
from sagashop.web.auth import COOKIE, Role
from sagashop.worker import Worker
from services.fulfillment import app as fulfillment
from services.fulfillment.handlers import make_handlers as fulfillment_handlers
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.shipments import Parcels
from services.orders import app as orders
from services.orders.handlers import make_handlers as orders_handlers
from services.orders.readmodel import OrderList
from services.orders.settings import OrdersSettings
from services.payments import app as payments
from services.payments.handlers import make_handlers as payments_handlers
from services.payments.postings import Postings
from services.payments.settings import PaymentsSettings
from tests.integration.rigs import sealed
from tests.unit.parcels import FakeCarrier

SERVICES = ("orders", "payments", "fulfillment")


class House:
    """One service with its worker and projector, each stepped by hand."""

    def __init__(self, name: str, settings: Settings, handlers: Handlers, model: ReadModel) -> None:
        inbox = connect_bus(settings).inbox(name, handlers, f"{name}-1")
        inbox.prepare()
        self.worker = Worker(inbox, handlers, settings)
        self.engine: Engine = sql.engine(settings.database_url)
        self.projector = Projector(name, settings, self.engine, [f"{name}.events"], [model])
        self.projector.prepare()


class AuditedShop:
    """A small shop with a past: one completed order of each fate. `get` is the auditor's way in."""

    def __init__(self, ledger: str, session: str, rabbitmq: Callable[[str], str], folder: Path) -> None:
        def told(name: str) -> dict[str, Any]:
            url = f"sqlite:///{folder}/{name}.db"
            servers = {"redis_ledger_url": ledger, "redis_session_url": session, "rabbitmq_url": rabbitmq(name)}
            return {**servers, "database_url": url, "visibility_s": 0.05}

        by_orders = OrdersSettings(**told("orders"))
        by_payments = PaymentsSettings(**told("payments"))
        by_fulfillment = FulfillmentSettings(**told("fulfillment"))
        self.houses = {
            "orders": House("orders", by_orders, orders_handlers(by_orders.saga), OrderList()),
            "payments": House("payments", by_payments, payments_handlers(by_payments.terms), Postings()),
            "fulfillment": House("fulfillment", by_fulfillment, fulfillment_handlers(by_fulfillment), Parcels()),
        }
        self._files = {name: folder / f"{name}.db" for name in self.houses}
        self._sessions = Sessions(redis_clients.session(by_orders), 60, 600)
        apps = {"orders": orders.create(by_orders), "payments": payments.create(by_payments)}
        apps["fulfillment"] = fulfillment.create(by_fulfillment)
        self.customer = self._browser(apps["orders"], "c1", "customer")
        self._operators = {name: self._browser(app, "operator", "operator") for name, app in apps.items()}
        self.redis: Any = redis_clients.ledger(by_orders)
        self.bus = connect_bus(by_orders)
        self._carrier = FakeCarrier(self.bus, self.redis)
        self.auditor = Auditor(self.get, SERVICES)

    def open(self) -> AuditedShop:
        """Sell MUG and GOLD, which nobody can pay, and let four orders go their ways."""
        for sku, cents in (("MUG", 900), ("GOLD", 60_000)):
            self.tell(ProductPriced(sku=sku, revision=1, name=sku, category="test", price_cents=cents))
        self.settle()
        self.completed, self.refunded, self.rejected = self.buy("MUG"), self.buy("MUG"), self.buy("GOLD")
        self.settle()
        self.cancelled = self.buy("MUG")
        for order_id in (self.refunded, self.cancelled):
            self.customer.post(f"/api/orders/{order_id}/cancellation", json={})
        return self.settle()

    def buy(self, sku: str, quantity: int = 2) -> str:
        answer: Any = self.customer.post("/api/orders", json={"lines": [{"sku": sku, "quantity": quantity}]})
        return str(answer.json["order_id"])

    def tell(self, *messages: Message) -> None:
        self.bus.publish(sealed(messages))

    def settle(self) -> AuditedShop:
        """Everything that can happen has happened."""
        while sum(house.worker.step(block_ms=5) for house in self.houses.values()) + self._carrier.step():
            pass
        while sum(house.projector.step(block_ms=5) for house in self.houses.values()):
            pass
        return self

    def get(self, path: str) -> bytes:
        answer = self._operators[path.split("/")[2]].get(path)
        assert answer.status_code == 200, answer.text
        return bytes(answer.data)

    def remember(self) -> AuditedShop:
        """Keep everything as it is now, for `restore`."""
        self._kept = {key: self.redis.dump(key) for key in self.redis.scan_iter()}
        for name, file in self._files.items():
            with closing(sqlite3.connect(file)) as here, closing(sqlite3.connect(f"{file}.kept")) as kept:
                here.backup(kept)
            self.houses[name].engine.dispose()
        return self

    def restore(self) -> AuditedShop:
        """Make everything as it was; what a test has spoiled is whole again."""
        self.redis.flushall()
        for key, value in self._kept.items():
            self.redis.restore(key, 0, value)
        for name, file in self._files.items():
            self.houses[name].engine.dispose()
            with closing(sqlite3.connect(f"{file}.kept")) as kept, closing(sqlite3.connect(file)) as here:
                kept.backup(here)
            self.houses[name].projector.prepare()
        return self

    def execute(self, service: str, *statements: Any) -> bool:
        """Tamper with a database."""
        with self.houses[service].engine.begin() as conn:
            for statement in statements:
                conn.execute(statement)
        return True

    def write_history(self, service: str, aggregate: str, event: Message) -> None:
        """Add an event to a history that never happened."""
        last = select(func.max(journal.c.sequence)).where(journal.c.aggregate == aggregate)
        with self.houses[service].engine.begin() as conn:
            number = int(conn.scalar(last) or 0) + 1
            row = {"entry_id": "1-1", "time_ms": 1, "producer": service, "trace": "", "data": encode(event)}
            conn.execute(
                journal.insert().values(aggregate=aggregate, sequence=number, type=type(event).__name__, **row)
            )

    def _browser(self, app: Any, user_id: str, role: Role) -> FlaskClient:
        client: FlaskClient = app.test_client()
        client.set_cookie(COOKIE, self._sessions.create(user_id, "Demo Customer", role))
        return client
