"""The three processes of payments in one, for tests: each is stepped by hand, on real servers."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient

from contracts.orders import AuthorizePayment
from contracts.storefront import CustomerRegistered
from sagashop import redis_clients, sql
from sagashop.bus import connect_bus
from sagashop.messages import Envelope, Message, new_id, now_ms
from sagashop.projector import Projector
from sagashop.sessions import Sessions
from sagashop.web.auth import COOKIE, Role
from sagashop.worker import Worker
from services.payments import app
from services.payments.handlers import make_handlers
from services.payments.postings import Postings
from services.payments.settings import PaymentsSettings


class House:
    def __init__(self, settings: PaymentsSettings) -> None:
        self.settings, self.bus = settings, connect_bus(settings)
        self.redis: Any = redis_clients.ledger(settings)
        self.engine = sql.engine(settings.database_url)
        self.projector = Projector("payments", settings, self.engine, ["payments.events"], [Postings()])
        self.projector.prepare()
        self.app = app.create(settings)

    def publish(self, *messages: Message) -> None:
        self.bus.publish([Envelope(message=m, id=new_id(), time_ms=now_ms(), producer="test") for m in messages])

    def tell(self, *messages: Message) -> None:
        """Publish these messages, and let a worker and the projector catch up."""
        self.publish(*messages)
        self.work()
        self.project()

    def worker(self, name: str = "payments-worker-1") -> Worker:
        handlers = make_handlers(self.settings.terms)
        inbox: Any = self.bus.inbox("payments", handlers, name)
        inbox.create_groups()
        return Worker(inbox, handlers, self.settings)

    def work(self, name: str = "payments-worker-1") -> None:
        worker = self.worker(name)
        while worker.step(block_ms=20):
            pass

    def project(self) -> None:
        while self.projector.step(block_ms=20):
            pass

    def browser(self, user_id: str, role: Role = "customer") -> FlaskClient:
        """A browser in which this person is logged in."""
        sessions = Sessions(redis_clients.session(self.settings), 60, 600)
        client = self.app.test_client()
        client.set_cookie(COOKIE, sessions.create(user_id, "Demo Customer", role))
        return client


def a_house(redis_ledger: str, redis_session: str, database_url: str) -> House:
    """A house on these servers, quick to retry and to give up."""
    return House(
        PaymentsSettings(
            redis_ledger_url=redis_ledger,
            redis_session_url=redis_session,
            database_url=database_url,
            visibility_s=0.05,
            max_deliveries=2,
        )
    )


def registered(customer_id: str) -> CustomerRegistered:
    return CustomerRegistered(customer_id=customer_id, revision=1, name="Demo Customer", email="demo@sagashop.example")


def authorize(order_id: str, cents: int, customer_id: str = "c1") -> AuthorizePayment:
    return AuthorizePayment(order_id=order_id, customer_id=customer_id, amount_cents=cents)
