"""Orders with the services it talks to, on real servers: their real handlers, each one step at a time."""

from __future__ import annotations

from typing import Any

from contracts.storefront import ProductPriced
from sagashop import keys, redis_clients, sql
from sagashop.bus import connect_bus
from sagashop.handlers import Handlers
from sagashop.projector import Projector
from sagashop.sessions import Sessions
from sagashop.settings import Settings
from sagashop.streams import tail
from sagashop.web.auth import COOKIE, Role
from sagashop.worker import Worker
from services.fulfillment.handlers import make_handlers as fulfillment_handlers
from services.fulfillment.settings import FulfillmentSettings
from services.orders import app
from services.orders.handlers import make_handlers
from services.orders.readmodel import OrderList
from services.orders.settings import OrdersSettings
from services.payments.handlers import make_handlers as payments_handlers
from services.payments.settings import PaymentsSettings
from tests.integration.rigs import sealed
from tests.unit.parcels import FakeCarrier

WELCOME_CENTS = 50_000


class World:
    """The processes of orders, with MUG at 9.00, TEE at 20.00, GOLD at 600.00 (more than anybody has) on sale."""

    def __init__(self, ledger: str, session: str, database_url: str, **more: Any) -> None:
        shared: dict[str, Any] = {"redis_ledger_url": ledger, "redis_session_url": session, "visibility_s": 0.05}
        shared["database_url"] = database_url
        self.settings = OrdersSettings(**{**shared, **more})
        self.handlers: dict[str, tuple[Handlers, Settings]] = {
            "orders": (make_handlers(self.settings.saga), self.settings),
            "fulfillment": (
                fulfillment_handlers(settings := FulfillmentSettings(**shared)),
                settings,
            ),
            "payments": (
                payments_handlers(PaymentsSettings(welcome_credit_cents=WELCOME_CENTS).terms),
                PaymentsSettings(**shared),
            ),
        }
        self.bus = connect_bus(self.settings)
        self.redis = redis_clients.ledger(self.settings)
        self.engine = sql.engine(self.settings.database_url)
        self.projector = Projector("orders", self.settings, self.engine, ["orders.events"], [OrderList()])
        self.app = app.create(self.settings)
        self._carrier = FakeCarrier(self.bus, self.redis)
        self._workers = {name: self._worker(name) for name in self.handlers}

    def open(self) -> World:
        """Publish the products, and let everybody take them in."""
        self.sell("MUG", 900)
        self.sell("TEE", 2_000)
        self.sell("GOLD", 60_000)
        self.projector.prepare()
        return self.settle()

    def sell(self, sku: str, price_cents: int, *, revision: int = 1, on_sale: bool = True) -> None:
        product = ProductPriced(
            sku=sku, revision=revision, name=f"A {sku}", category="test", price_cents=price_cents, on_sale=on_sale
        )
        self.bus.publish(sealed([product]))

    def work(self, *services: str) -> World:
        """Let these services (or all) handle what has come, until nothing more comes."""
        chosen = [self._workers[name] for name in services or self._workers]
        while sum(worker.step(block_ms=5) for worker in chosen) + self._carrier.step():
            pass
        return self

    def project(self) -> World:
        while self.projector.step(block_ms=5):
            pass
        return self

    def settle(self) -> World:
        """Everything that can happen has happened."""
        return self.work().project()

    def browser(self, user_id: str = "c1", role: Role = "customer") -> Any:
        """A browser (Flask test client) in which this person is logged in."""
        client = self.app.test_client()
        client.set_cookie(COOKIE, self.token(user_id, role))
        return client

    def token(self, user_id: str = "c1", role: Role = "customer") -> str:
        sessions = Sessions(redis_clients.session(self.settings), 60, 600)
        return sessions.create(user_id, f"Demo {role.title()}", role)

    def events(self) -> list[str]:
        """The types of all events of orders so far."""
        return [fields["type"] for _, fields in tail.read_all(self.redis, keys.stream("orders.events"))]

    def _worker(self, service: str) -> Worker:
        handlers, settings = self.handlers[service]
        inbox = self.bus.inbox(service, handlers, f"{service}-1")
        inbox.prepare()
        return Worker(inbox, handlers, settings)


def buy(browser: Any, *lines: tuple[str, object], headers: dict[str, str] | None = None, **more: Any) -> Any:
    """POST /api/orders with these lines (MUG, 1 if none are given)."""
    wanted = [{"sku": sku, "quantity": quantity} for sku, quantity in lines or (("MUG", 1),)]
    return browser.post("/api/orders", json={"lines": wanted, **more}, headers=headers or {})


def kind(response: Any) -> tuple[int, str]:
    """Status and the kind of the problem."""
    assert response.mimetype == "application/problem+json", response.get_data(as_text=True)
    return response.status_code, response.json["type"].rsplit("/", 1)[-1]
