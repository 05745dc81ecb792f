"""The checkout on real servers, on either bus: three services, two workers each, while connections break and people
cancel.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from contracts.orders import Line
from contracts.storefront import CustomerRegistered, ProductPriced
from sagashop import keys, redis_clients
from sagashop.bus import GuardFailed, connect_bus
from sagashop.errors import Unavailable
from sagashop.messages import Catalogue
from sagashop.settings import Settings
from services.fulfillment.handlers import make_handlers as fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.store import reservation_from, reservation_key, shelf_from, shelf_key
from services.orders import store
from services.orders.domain import EVENTS, SETTLED, Order, cancel, evolve, place
from services.orders.handlers import make_handlers as orders
from services.orders.saga import checkout
from services.payments.accounts import Terms
from services.payments.handlers import make_handlers as payments
from services.payments.store import TOTALS, payment_key, payment_of
from tests.integration.rigs import relaying, sealed, working
from tests.rabbit import RabbitServer
from tests.servers import eventually
from tests.unit.checkout_world import OUTCOMES
from tests.unit.parcels import FakeCarrier

ORDERS, MUGS, CENTS = 80, 60, 100
BOOKINGS = keys.stream("fulfillment.booking")
SAGA = checkout.with_timeouts({"stock": 2.0, "payment": 2.0, "capture": 1.0, "shipment": 1.0})


class Shop:
    def __init__(self, url: str, rabbit: RabbitServer | None = None) -> None:
        bus: dict[str, Any] = {"bus": "rabbitmq", "rabbitmq_url": rabbit.url()} if rabbit else {}
        self.settings = Settings(redis_ledger_url=url, visibility_s=0.3, batch_size=20, max_deliveries=50, **bus)
        self.bus, self.placed = connect_bus(self.settings), list[str]()
        self.redis = redis_clients.ledger(self.settings)
        self.bus.publish(sealed([
            ProductPriced(sku="MUG", revision=1, name="Mug", category="kitchen", price_cents=CENTS),
            *(CustomerRegistered(customer_id=f"c{n}", revision=1, name="Demo Customer", email="") for n in range(5)),
        ]))  # fmt: skip

    def open(self, stack: ExitStack) -> None:
        services = {
            "orders": orders(SAGA),
            "payments": payments(Terms(welcome_credit_cents=15 * CENTS, payment_limit_cents=1_000)),
            "fulfillment": fulfillment(FulfillmentSettings(opening_stock=MUGS)),
        }
        for name, handlers in services.items():
            stack.enter_context(working(name, handlers, self.settings, workers=2))
        stack.enter_context(FakeCarrier(self.bus, self.redis, delay_s=0.3).answering())

    def place(self, number: int) -> None:
        line = Line(sku="MUG", quantity=1, price_cents=CENTS)
        event = place(SAGA, f"o{number}", f"c{number % 5}", [line])
        while True:
            try:
                self.bus.admit("orders", store.record(SAGA, None, event))
            except Unavailable:
                continue
            except GuardFailed:
                pass  # the answer was lost, the order was not
            self.placed.append(event.order_id)
            return

    def cancel(self, order_id: str) -> None:
        order = self.order(order_id)
        event = cancel(SAGA, order, "changed my mind")
        if event:
            with suppress(GuardFailed):
                self.bus.admit("orders", store.record(SAGA, order, event))

    def row(self, key: str) -> dict[str, str]:
        return self.bus.load([key])[key]

    def order(self, order_id: str) -> Order:
        order = store.read_order(self.bus.load([store.order_key(order_id)]), order_id)
        assert order is not None
        return order

    def break_connections(self, stopping: threading.Event) -> None:
        while not stopping.wait(0.15):
            with suppress(Exception):
                self.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]

    def histories(self) -> dict[str, list[Any]]:
        """The events of each order as the journal would find them, checked for gaps and doubles."""
        found: Any = self.redis.xrange(keys.stream("orders.events"))
        events: dict[str, list[Any]] = defaultdict(list)
        for _, fields in found:
            envelope = Catalogue(EVENTS).open(fields)
            events[envelope.aggregate].append(envelope.message)
            assert envelope.sequence == len(events[envelope.aggregate])
        return events


@pytest.mark.feature("F10")
@pytest.mark.feature("F02")
@pytest.mark.feature("F62")
@pytest.mark.parametrize("bus", ["redis", "rabbitmq"])
def test_every_order_ends_well_while_connections_break_and_people_cancel(
    redis_ledger: str, bus: str, request: pytest.FixtureRequest
) -> None:
    rabbit: RabbitServer | None = request.getfixturevalue("emptied_rabbit") if bus == "rabbitmq" else None
    shop, stopping, chance = Shop(redis_ledger, rabbit), threading.Event(), random.Random(7)
    trouble = threading.Thread(target=shop.break_connections, args=(stopping,), daemon=True)
    with ExitStack() as stack:
        for thread in relaying("test", shop.settings, stopping):  # whence the products come
            thread.start()
        shop.open(stack)
        eventually(lambda: shop.row(shelf_key("MUG")))
        trouble.start()
        for number in range(ORDERS):
            shop.place(number)
            if chance.random() < 0.25:
                with suppress(Unavailable):
                    shop.cancel(chance.choice(shop.placed))
            time.sleep(0.02)
        stopping.set()
        trouble.join(5)
        eventually(lambda: all(shop.order(order_id).status in SETTLED for order_id in shop.placed), 30)
        open_work = keys.deadlines("fulfillment"), keys.deadlines("orders")
        eventually(lambda: not shop.redis.exists(*open_work) and not shop.redis.xlen(BOOKINGS))
        time.sleep(0.1)
    check(shop)


def check(shop: Shop) -> None:
    histories, outcomes, sold = shop.histories(), Counter[str](), 0
    for order_id in shop.placed:
        order, folded = shop.order(order_id), None
        for event in histories[store.aggregate(order_id)]:
            folded = evolve(SAGA, folded, event)
        assert folded == order
        payment = payment_of(order_id, order.customer_id, shop.row(payment_key(order_id)))
        reservation = reservation_from(order_id, shop.row(reservation_key(order_id)))
        states, goods = OUTCOMES[order.status]
        assert payment.state in states
        assert reservation.status in goods
        sold += reservation.status == "shipped"
        outcomes[order.status] += 1
    shelf = shelf_from("MUG", shop.row(shelf_key("MUG")))
    assert (shelf.available, shelf.reserved, shelf.sold) == (MUGS - sold, 0, sold)
    assert sum(map(int, (v for k, v in shop.row(TOTALS).items() if k != "batch"))) == 0
    assert outcomes["completed"], outcomes
    for service in ("orders", "payments", "fulfillment"):
        assert shop.redis.xlen(keys.dead_letters(service)) == 0
