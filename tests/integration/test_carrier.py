"""Booking parcels: fulfillment's outbox, RabbitMQ, the worker, and a carrier that is slow, fails, and comes back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from contracts.orders import CancelShipment, Item, RequestShipment, ReserveStock
from contracts.storefront import ProductPriced
from sagashop import keys, redis_clients
from sagashop.bus import connect_bus
from sagashop.messages import Message
from sagashop.rabbit.consumer import Consumer
from sagashop.rabbit.layout import work_queue
from sagashop.rabbit.publisher import Publisher
from sagashop.streams.tail import read_all
from sagashop.tasks.relay import Relay
from services.fulfillment.calling import Cancelled, Carrier, CarrierAway, CarrierRefused
from services.fulfillment.carrier import Dispatcher
from services.fulfillment.carrier_stand_in import Book, Manners, carrying, tracking_of
from services.fulfillment.domain import Shelf
from services.fulfillment.handlers import make_handlers, open_shelf
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.store import reservation_from, reservation_key
from tests.integration.rigs import sealed, working
from tests.integration.tasks_world import running
from tests.rabbit import RabbitServer
from tests.servers import eventually

TOPOLOGY = work_queue("fulfillment", "booking")
REST_S = 0.5


class Desk:
    """The carrier's stand-in, and a way to call it."""

    def __init__(self, port: int, book: Book, manners: Manners) -> None:
        self.book, self.manners, self.url = book, manners, f"http://127.0.0.1:{port}"
        self.carrier = Carrier(self.url, timeout_s=2, failures=4, rest_s=REST_S)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    book, manners = Book(str(tmp_path / "carrier.db")), Manners(0.0, 0.0)
    with carrying("127.0.0.1", 0, book, manners) as port:
        yield Desk(port, book, manners)


class Dock:
    """Fulfillment with its worker, the relay, and the process that calls the carrier."""

    def __init__(self, ledger: str, rabbit: RabbitServer, desk: Desk) -> None:
        self.settings = FulfillmentSettings(
            redis_ledger_url=ledger, rabbitmq_url=rabbit.url("fulfillment"), visibility_s=0.3
        )
        self.bus, self.redis, self.desk = connect_bus(self.settings), redis_clients.ledger(self.settings), desk
        mug = ProductPriced(sku="MUG", revision=1, name="Mug", category="things", price_cents=100)
        self.bus.admit("fulfillment", open_shelf(mug, Shelf("MUG"), 100))

    @contextmanager
    def open(self) -> Iterator[None]:
        url, never = self.settings.rabbitmq_url, threading.Event()
        dispatcher = Dispatcher(self.desk.carrier, self.bus, never)
        consumer = Consumer(url, "fulfillment", "booking", dispatcher.handle, topology=TOPOLOGY, jobs=8)
        relay = Relay("fulfillment", "fulfillment.booking", self.redis, redis_clients.blocking(self.settings),
                      Publisher(url, "relay"))  # fmt: skip
        with ExitStack() as stack:
            stack.enter_context(working("fulfillment", make_handlers(self.settings), self.settings))
            for loop in (consumer.run, relay.run):
                stack.enter_context(running(loop))
            yield

    def tell(self, *messages: Message) -> None:
        self.bus.publish(sealed(messages))

    def order(self, *order_ids: str) -> None:
        for order_id in order_ids:
            self.tell(ReserveStock(order_id=order_id, items=[Item(sku="MUG", quantity=1)]),
                      RequestShipment(order_id=order_id, customer_id="c1"))  # fmt: skip

    def booked(self) -> Counter[str]:
        """How often each order was told to be with the carrier, by its tracking number."""
        events = read_all(self.redis, keys.stream("fulfillment.events"))
        return Counter(fields["data"].split('"tracking":"')[1].split('"')[0]
                       for _, fields in events if fields["type"] == "ShipmentBooked")  # fmt: skip

    def status(self, order_id: str) -> str:
        key = reservation_key(order_id)
        return reservation_from(order_id, self.bus.load([key])[key]).status


@pytest.fixture
def dock(redis_ledger: str, rabbit_server: RabbitServer, desk: Desk) -> Iterator[Dock]:
    yield Dock(redis_ledger, rabbit_server, desk)
    with rabbit_server.channel() as channel:
        for queue in ("fulfillment.booking", "fulfillment.dead"):
            channel.queue_purge(queue)


@pytest.mark.feature("F43")
def test_every_parcel_is_booked_once_by_a_carrier_that_fails_half_the_time(dock: Dock) -> None:
    orders = [f"o{number}" for number in range(30)]
    dock.desk.manners.failure_rate = 0.5
    with dock.open():
        dock.order(*orders)
        eventually(lambda: len(dock.booked()) == len(orders), 40)
    assert dock.booked() == Counter({tracking_of(f"shp-{order_id}"): 1 for order_id in orders})
    counts = dock.desk.book.counts()
    assert counts["booked"] == len(orders)
    assert counts["calls"] > len(orders), "some answers were lost, so some bookings came twice"


@pytest.mark.feature("F43")
def test_a_carrier_that_is_down_is_left_in_peace_and_gets_every_parcel_when_it_is_back(dock: Dock) -> None:
    orders = [f"o{number}" for number in range(12)]
    dock.desk.manners.down = True
    with dock.open():
        dock.order(*orders)
        eventually(lambda: dock.desk.manners.seen >= 4)
        before = dock.desk.manners.seen
        time.sleep(4 * REST_S)
        assert dock.desk.manners.seen - before <= 12, "one call after each rest, and those that were on their way"
        assert {dock.status(order_id) for order_id in orders} == {"shipping"}
        dock.desk.manners.down = False
        eventually(lambda: len(dock.booked()) == len(orders), 30)
    assert set(dock.booked().values()) == {1}


@pytest.mark.feature("F43")
def test_a_parcel_recalled_while_the_carrier_is_slow_is_cancelled_there(dock: Dock) -> None:
    dock.desk.manners.delay_s = 0.5
    with dock.open():
        dock.order("o1")
        eventually(lambda: dock.status("o1") == "shipping")
        dock.tell(CancelShipment(order_id="o1"))
        eventually(lambda: dock.desk.book.counts().get("cancelled") == 1)
        dock.order("o2")
        eventually(dock.booked)
    assert (dock.status("o1"), dock.status("o2")) == ("recalled", "shipped")
    assert dock.desk.book.counts()["booked"] == 1


def test_a_repeated_booking_is_one_and_a_cancelled_one_is_refused(desk: Desk, tmp_path: Path) -> None:
    assert desk.carrier.book("shp-1") == desk.carrier.book("shp-1") == tracking_of("shp-1")
    desk.carrier.cancel("shp-2")
    desk.carrier.cancel("shp-2")
    with pytest.raises(Cancelled):
        desk.carrier.book("shp-2")
    assert desk.book.counts() == {"booked": 1, "cancelled": 1, "calls": 3}
    assert Book(str(tmp_path / "carrier.db")).counts() == desk.book.counts(), "it outlives the process"


def test_a_failing_carrier_opens_the_circuit_and_one_call_closes_it(desk: Desk) -> None:
    desk.manners.down = True
    for _ in range(3):
        with pytest.raises(CarrierAway):
            desk.carrier.book("shp-1")
    seen = desk.manners.seen
    assert seen == 4, "three tries, then one that opens the circuit; then nobody calls"
    desk.manners.down = False
    with pytest.raises(CarrierAway, match="left in peace"):
        desk.carrier.book("shp-1")
    assert desk.manners.seen == seen
    time.sleep(REST_S)
    assert desk.carrier.book("shp-1")
    assert desk.carrier.book("shp-2")


def test_calls_to_a_slow_carrier_do_not_wait_for_each_other(desk: Desk) -> None:
    desk.manners.delay_s = 0.4
    began = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        numbers = list(pool.map(desk.carrier.book, [f"shp-{n}" for n in range(10)]))
    assert len(set(numbers)) == 10
    assert time.monotonic() - began < 2.0, "one after the other would take 4 s"


def test_a_refusal_is_the_callers_mistake_and_opens_no_circuit(desk: Desk) -> None:
    odd = Carrier(desk.url + "/nowhere", timeout_s=2, failures=1, rest_s=60)
    for _ in range(3):
        with pytest.raises(CarrierRefused, match="422"):
            odd.book("shp-1")
