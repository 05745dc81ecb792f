"""Fulfillment on a real Redis: the worker, the front door, the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from contracts.orders import CancelShipment, Item, ReleaseStock, RequestShipment, ReserveStock
from contracts.storefront import ProductPriced
from sagashop import keys, redis_clients, sql
from sagashop.bus import Bus, connect_bus
from sagashop.journal import history
from sagashop.messages import Message
from sagashop.projector import Projector
from sagashop.sessions import Sessions
from sagashop.streams.tail import read_all
from services.fulfillment import store
from services.fulfillment.app import create
from services.fulfillment.domain import Shelf
from services.fulfillment.handlers import make_handlers, open_shelf
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.shipments import Parcels
from services.fulfillment.stockroom import Stockroom
from tests.integration.rigs import sealed, working
from tests.servers import eventually, free_port
from tests.unit.parcels import FakeCarrier, taken

WHERE_TO = "/api/stock/MUG/restock"


class Shop:
    """Fulfillment with one Redis of each kind, as seen by orders and by people."""

    def __init__(self, settings: FulfillmentSettings) -> None:
        self.settings = settings
        self.bus: Bus = connect_bus(settings)
        self.ledger = redis_clients.ledger(settings)
        self.sessions = Sessions(redis_clients.session(settings))
        self.app = create(settings)
        self.stockroom = Stockroom(self.bus)

    def send(self, *messages: Message) -> None:
        self.bus.publish(sealed(messages))

    def visitor(self, user_id: str = "", role: Any = "customer") -> FlaskClient:
        client = self.app.test_client()
        if user_id:
            client.set_cookie("sagashop_session", self.sessions.create(user_id, "Demo", role))
        return client

    def events(self) -> Counter[str]:
        return Counter(fields["type"] for _, fields in read_all(self.ledger, keys.stream("fulfillment.events")))

    def numbers(self, sku: str) -> tuple[int, int, int]:
        row = self.bus.load([store.shelf_key(sku)])[store.shelf_key(sku)]
        shelf = store.shelf_from(sku, row)
        assert shelf.delivered == shelf.available + shelf.reserved + shelf.sold
        return shelf.available, shelf.reserved, shelf.sold


@pytest.fixture
def shop(redis_ledger: str, redis_session: str, database_url: str) -> Shop:
    return Shop(
        FulfillmentSettings(
            redis_ledger_url=redis_ledger,
            redis_session_url=redis_session,
            database_url=database_url,
        )
    )


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """With a hundred mugs and tees."""
    for sku in ("MUG", "TEE"):
        shop.bus.admit("fulfillment", open_shelf(priced(sku), Shelf(sku), 100))
    return shop


@pytest.fixture
def running(stocked: Shop) -> Iterator[Shop]:
    """With a worker, too."""
    carrier = FakeCarrier(stocked.bus, stocked.ledger, delay_s=0.2)
    with working("fulfillment", make_handlers(stocked.settings), stocked.settings), carrier.answering():
        yield stocked


def priced(sku: str, revision: int = 1) -> ProductPriced:
    return ProductPriced(sku=sku, revision=revision, name=sku.title(), category="things", price_cents=100)


def reserve(order_id: str, quantity: int = 2) -> ReserveStock:
    return ReserveStock(order_id=order_id, items=[Item(sku="MUG", quantity=quantity)])


def test_an_orders_goods_go_from_the_shelf_to_the_carrier(running: Shop) -> None:
    running.send(reserve("o1"), RequestShipment(order_id="o1", customer_id="c1"))
    eventually(lambda: running.numbers("MUG") == (98, 0, 2))
    found = running.visitor("c1").get("/api/shipments/o1")
    assert found.json == {
        "order_id": "o1",
        "customer_id": "c1",
        "shipment_id": "shp-o1",
        "status": "shipped",
        "tracking": taken("o1").tracking,
        "items": [{"sku": "MUG", "quantity": 2}],
    }


def test_a_parcel_recalled_before_the_carrier_comes_is_never_booked(running: Shop) -> None:
    running.send(reserve("o1"), RequestShipment(order_id="o1", customer_id="c1"), CancelShipment(order_id="o1"))
    running.send(reserve("o2"), RequestShipment(order_id="o2", customer_id="c1"))
    eventually(lambda: running.events()["ShipmentBooked"])  # o2's carrier came later than o1's would have
    assert running.numbers("MUG") == (98, 0, 2)
    assert running.visitor("c1").get("/api/shipments/o1").json["status"] == "recalled"  # type: ignore[index]


def test_only_the_owner_and_the_operator_see_a_parcel(running: Shop) -> None:
    running.send(reserve("o1"), RequestShipment(order_id="o1", customer_id="c1"))
    eventually(lambda: running.events()["ShipmentRequested"])
    answers = {
        name: client.get("/api/shipments/o1").status_code
        for name, client in {
            "owner": running.visitor("c1"),
            "operator": running.visitor("op", "operator"),
            "stranger": running.visitor("c2"),
            "nobody": running.visitor(),
        }.items()
    }
    assert answers == {"owner": 200, "operator": 200, "stranger": 404, "nobody": 401}


@pytest.mark.feature("F13")
def test_a_hundred_mugs_serve_exactly_a_hundred_of_150_orders_with_three_workers(shop: Shop) -> None:
    orders = [f"o{number}" for number in range(150)]
    with working("fulfillment", make_handlers(shop.settings), shop.settings, workers=3):
        shop.send(priced("MUG"))
        eventually(lambda: shop.events()["StockAdjusted"] == 1)
        for order_id in orders:
            shop.send(reserve(order_id, quantity=1), reserve(order_id, quantity=1))
        eventually(lambda: shop.events()["StockReserved"] + shop.events()["StockRejected"] == 300, deadline_s=30)
    statuses = Counter(shop.stockroom.reservation(order_id).status for order_id in orders)
    assert statuses == {"reserved": 100, "rejected": 50}
    assert shop.numbers("MUG") == (0, 100, 0)


@pytest.mark.feature("F10")
def test_a_release_that_overtakes_its_reservation_wins(running: Shop) -> None:
    running.send(ReleaseStock(order_id="o1"), reserve("o1"))
    eventually(lambda: running.events()["StockRejected"])
    assert running.numbers("MUG") == (100, 0, 0)
    assert running.stockroom.reservation("o1").status == "released"


def test_restocking_needs_the_operator(stocked: Shop) -> None:
    body = {"quantity": 5}
    assert stocked.visitor().post(WHERE_TO, json=body).status_code == 401
    assert stocked.visitor("c1").post(WHERE_TO, json=body).status_code == 403
    assert stocked.numbers("MUG") == (100, 0, 0)


@pytest.mark.parametrize("by_header", [True, False])
def test_a_repeated_restock_counts_once(stocked: Shop, by_header: bool) -> None:
    operator = stocked.visitor("op", "operator")
    body = {"quantity": 5} if by_header else {"quantity": 5, "restock_id": "r1"}
    headers = {"Idempotency-Key": "r1"} if by_header else {}
    answers = [operator.post(WHERE_TO, json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json == {"sku": "MUG", "available": 105, "reserved": 0, "sold": 0, "restock_id": "r1"}
    other = operator.post(WHERE_TO, json={"quantity": 6, "restock_id": "r1"})
    assert (other.status_code, other.json["type"].rsplit("/")[-1]) == (422, "idempotency-key-reused")  # type: ignore[index]
    assert stocked.numbers("MUG") == (105, 0, 0)


def test_restocks_at_the_same_moment_all_count(stocked: Shop) -> None:
    def one(number: int) -> int:
        return stocked.visitor("op", "operator").post(WHERE_TO, json={"quantity": number}).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(one, range(1, 13))) == {200}
    assert stocked.numbers("MUG") == (100 + sum(range(1, 13)), 0, 0)


@pytest.mark.parametrize("quantity", [0, -1, 100_001, 1.5, "5", None, True])
def test_a_senseless_restock_is_refused(stocked: Shop, quantity: object) -> None:
    answer = stocked.visitor("op", "operator").post(WHERE_TO, json={"quantity": quantity})
    assert answer.status_code == 422
    assert stocked.numbers("MUG") == (100, 0, 0)


def test_an_unknown_product_has_no_shelf(stocked: Shop) -> None:
    operator = stocked.visitor("op", "operator")
    for answer in (operator.get("/api/stock/HAT"), operator.post("/api/stock/HAT/restock", json={"quantity": 1})):
        assert (answer.status_code, answer.json["type"].rsplit("/")[-1]) == (404, "unknown-product")  # type: ignore[index]


def test_stock_is_listed_by_page_and_by_name(stocked: Shop) -> None:
    visitor = stocked.visitor()
    first: Any = visitor.get("/api/stock?limit=1").json
    second: Any = visitor.get(f"/api/stock?limit=1&cursor={first['next_cursor']}").json
    assert [first["items"][0]["sku"], second["items"][0]["sku"], second["next_cursor"]] == ["MUG", "TEE", None]
    named: Any = visitor.get("/api/stock?sku=TEE&sku=HAT").json
    assert named["items"] == [{"sku": "TEE", "available": 100, "reserved": 0, "sold": 0}]
    assert visitor.get("/api/stock/TEE").json == named["items"][0]


@pytest.mark.parametrize("query", ["cursor=x", "limit=0", "limit=many", "colour=red"])
def test_a_bad_query_is_refused(stocked: Shop, query: str) -> None:
    assert stocked.visitor().get(f"/api/stock?{query}").status_code == 422


@pytest.mark.feature("F07")
@pytest.mark.sql
def test_the_journal_outlives_the_ledgers_memory(running: Shop) -> None:
    running.send(reserve("o1"), RequestShipment(order_id="o1", customer_id="c1"))
    eventually(lambda: running.events()["ShipmentBooked"])
    engine = sql.engine(running.settings.database_url)
    projector = Projector("fulfillment", running.settings, engine, ["fulfillment.events"], [Parcels()])
    projector.prepare()
    projector.step()
    with engine.connect() as conn:
        kinds = [row.type for row in history(conn, "reservation:o1")]
    assert kinds == ["StockReserved", "ShipmentRequested", "ShipmentBooked"]

    owner = running.visitor("c1")
    fresh = owner.get("/api/shipments/o1").json
    running.ledger.delete(store.reservation_key("o1"))  # as its time to live does
    assert owner.get("/api/shipments/o1").json == fresh
    projector.rebuild(Parcels())
    assert owner.get("/api/shipments/o1").json == fresh
    assert owner.get("/api/shipments/o2").status_code == 404


def test_without_redis_the_answer_is_503_with_retry_after(shop: Shop) -> None:
    gone = FulfillmentSettings(
        redis_ledger_url=f"redis://127.0.0.1:{free_port()}/0",
        redis_session_url=shop.settings.redis_session_url,
        database_url=shop.settings.database_url,
    )
    answer = create(gone).test_client().get("/api/stock")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.feature("F14")
def test_a_malformed_command_is_set_aside_and_the_worker_goes_on(running: Shop) -> None:
    running.ledger.xadd(keys.stream("fulfillment.commands"), {"type": "ReserveStock", "data": "{"})
    running.send(reserve("o1"))
    eventually(lambda: running.numbers("MUG") == (98, 2, 0))
    operator = running.visitor("op", "operator")
    letters: Any = eventually(lambda: operator.get("/admin/fulfillment/dead-letters").json)
    assert letters["total"] == 1
    assert running.visitor("c1").get("/admin/fulfillment/dead-letters").status_code == 403


@pytest.mark.feature("F54")
def test_the_openapi_document_names_every_endpoint(shop: Shop) -> None:
    document: Any = shop.visitor().get("/docs/fulfillment/openapi.json").json
    assert set(document["paths"]) >= {
        "/api/stock",
        "/api/stock/{sku}",
        "/api/stock/{sku}/restock",
        "/api/shipments/{order_id}",
    }
