"""Orders over HTTP, with real servers and the real handlers of fulfillment and payments."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from services.orders import store
from tests.integration.orders_world import World, buy, kind
from tests.integration.rigs import working
from tests.servers import RedisServer


@pytest.fixture
def world(redis_ledger: str, redis_session: str, database_url: str) -> World:
    return World(redis_ledger, redis_session, database_url).open()


@pytest.mark.feature("F10")
@pytest.mark.sql
def test_an_order_goes_all_the_way_and_its_timeline_tells_how(world: World) -> None:
    browser = world.browser()
    answer = buy(browser, ("MUG", 2), ("TEE", 1))
    placed = answer.json
    assert (answer.status_code, placed["status"], placed["total_cents"]) == (202, "placed", 3_800)
    assert answer.headers["Location"] == f"/api/orders/{placed['order_id']}"

    world.settle()
    order = browser.get(answer.headers["Location"]).json
    assert (order["status"], order["settled"], bool(order["tracking"])) == ("completed", True, True)

    told = browser.get(f"{answer.headers['Location']}/timeline").json
    assert [entry["event"] for entry in told["entries"]][:3] == ["OrderPlaced", "SagaMoved", "OrderConfirmed"]
    assert [entry["sequence"] for entry in told["entries"]] == list(range(1, order["version"] + 1))
    assert {(step["step"], step["status"], step["attempts"]) for step in told["steps"]} == {
        (step, "done", 1) for step in ("stock", "payment", "capture", "shipment")
    }
    assert told["complete"]
    assert told["pivot_ms"] >= told["placed_ms"]


def test_payment_declined_ends_the_order_and_returns_the_stock(world: World) -> None:
    browser = world.browser()
    where = buy(browser, ("GOLD", 1)).headers["Location"]
    world.settle()

    order = browser.get(where).json
    assert (order["status"], bool(order["reason"])) == ("rejected", True)
    steps = {step["step"]: step for step in browser.get(f"{where}/timeline").json["steps"]}
    assert (steps["stock"]["status"], steps["payment"]["status"]) == ("undone", "refused")
    assert steps["stock"]["undone_ms"] >= steps["stock"]["undo_asked_ms"]


def test_a_customer_whose_registration_is_still_on_its_way_may_order(world: World) -> None:
    browser = world.browser("just-signed-up")
    where = buy(browser).headers["Location"]
    world.settle()
    assert browser.get(where).json["status"] == "completed"


BAD_BODIES: list[tuple[object, str]] = [
    ({"lines": []}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 0}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": -1}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 100}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 10**30}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 1.5}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": "1"}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": True}]}, "invalid-request"),
    ({"lines": [{"sku": "", "quantity": 1}]}, "invalid-request"),
    ({"lines": [{"sku": "x" * 65, "quantity": 1}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 1, "price_cents": 1}]}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 1}] * 51}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 60}] * 2}, "invalid-request"),
    ({"lines": "MUG"}, "invalid-request"),
    ({}, "invalid-request"),
    ([], "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 1}], "cart_id": "c"}, "invalid-request"),
    ({"lines": [{"sku": "MUG", "quantity": 1}], "expected_total_cents": -1}, "invalid-request"),
    ({"lines": [{"sku": "{0}:orders:order:x", "quantity": 1}]}, "unknown-product"),
    ({"lines": [{"sku": "münze\u0000", "quantity": 1}]}, "unknown-product"),
]


def test_a_bad_order_is_refused_with_its_reason_and_nothing_is_placed(world: World) -> None:
    browser, before = world.browser(), sorted(world.redis.keys("*"))
    for body, why in BAD_BODIES:
        assert kind(browser.post("/api/orders", json=body)) == (422, why), body
    assert kind(browser.post("/api/orders", data=b"x" * 70_000, content_type="application/json")) == (413, "too-large")
    assert world.events() == []
    assert sorted(world.redis.keys("*")) == before


def test_a_body_with_half_a_character_is_refused(world: World) -> None:
    half = b'{"lines": [{"sku": "\\ud800", "quantity": 1}]}'
    assert kind(world.browser().post("/api/orders", data=half, content_type="application/json"))[0] in (400, 422)
    assert world.events() == []


def test_a_product_taken_off_sale_can_no_longer_be_ordered(world: World) -> None:
    world.sell("TEE", 2_000, revision=2, on_sale=False)
    world.settle()
    answer = buy(world.browser(), ("MUG", 1), ("TEE", 1))
    assert kind(answer) == (422, "not-on-sale")
    assert answer.json["skus"] == ["TEE"]


def test_a_stale_price_is_told_and_nothing_is_placed(world: World) -> None:
    world.sell("MUG", 950, revision=2)
    world.settle()
    answer = buy(world.browser(), ("MUG", 2), expected_total_cents=1_800)
    assert kind(answer) == (409, "price-changed")
    assert answer.json["total_cents"] == 1_900
    assert answer.json["lines"] == [{"sku": "MUG", "quantity": 2, "price_cents": 950, "name": "A MUG"}]
    assert world.events() == []


def test_a_repeated_post_gives_the_first_order_and_another_body_is_refused(world: World) -> None:
    browser, key = world.browser(), {"Idempotency-Key": "k-1"}
    first, again = buy(browser, headers=key), buy(browser, headers=key)
    assert (again.status_code, again.json, again.headers["Location"]) == (202, first.json, first.headers["Location"])
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert kind(buy(browser, ("MUG", 2), headers=key)) == (422, "idempotency-key-reused")
    assert kind(buy(browser, headers={"Idempotency-Key": "x" * 129})) == (422, "bad-idempotency-key")
    assert buy(world.browser("c2"), headers=key).json["order_id"] != first.json["order_id"]
    assert world.events() == ["OrderPlaced"] * 2
    assert 0 < world.redis.ttl(store.idempotency_key("c1", "k-1")) <= 24 * 3600


def test_many_posts_with_one_key_at_once_place_one_order(world: World) -> None:
    def post(_: int) -> str:
        return str(buy(world.browser(), headers={"Idempotency-Key": "k"}).json["order_id"])

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(post, range(24)))) == 1
    assert world.events() == ["OrderPlaced"]


def test_a_cart_is_ordered_once(world: World) -> None:
    browser = world.browser()
    first, again = (buy(browser, cart_id="cart", cart_version=3).json["order_id"] for _ in range(2))
    later = buy(browser, cart_id="cart", cart_version=4).json["order_id"]
    assert first == again != later


def test_who_may_do_what(world: World) -> None:
    where = buy(world.browser()).headers["Location"]
    guest: Any = world.app.test_client()
    other, operator = world.browser("c2"), world.browser("op", "operator")

    for path in (where, f"{where}/timeline", "/api/orders"):
        assert kind(guest.get(path)) == (401, "not-logged-in")
    assert kind(buy(guest)) == (401, "not-logged-in")
    assert kind(buy(operator)) == (403, "forbidden")
    assert operator.get(where).status_code == 200
    for path in ("", "/timeline"):
        foreign, unknown = other.get(where + path), other.get(f"/api/orders/{'0' * 32}{path}")
        assert kind(foreign) == kind(unknown) == (404, "no-order")
        assert set(foreign.json) == set(unknown.json)
    assert kind(other.post(f"{where}/cancellation")) == (404, "no-order")
    assert kind(other.get("/api/orders?customer_id=c1")) == (403, "forbidden")
    for path in ("/admin/orders/sagas", "/admin/orders/read-model", "/admin/orders/streams"):
        assert kind(other.get(path)) == (403, "forbidden")
    assert kind(other.post("/admin/orders/read-model/rebuild")) == (403, "forbidden")


@pytest.mark.feature("F07")
@pytest.mark.sql
def test_the_list_shows_ones_own_orders_newest_first_page_by_page(world: World) -> None:
    browser = world.browser()
    ids = [buy(browser).json["order_id"] for _ in range(5)]
    buy(world.browser("c2"), ("GOLD", 1))
    world.settle()

    seen, cursor = [], ""
    while cursor is not None:
        page = browser.get(f"/api/orders?limit=2&cursor={cursor}").json
        seen += [order["order_id"] for order in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(ids)
    assert {order["status"] for order in browser.get("/api/orders?status=completed").json["items"]} == {"completed"}

    operator = world.browser("op", "operator")
    assert len(operator.get("/api/orders").json["items"]) == 6
    assert len(operator.get("/api/orders?customer_id=c1").json["items"]) == 5
    assert [order["customer_id"] for order in operator.get("/api/orders?status=rejected").json["items"]] == ["c2"]
    assert kind(browser.get("/api/orders?cursor=nonsense")) == (422, "bad-cursor")
    for query in ("status=lost", "limit=0", "limit=101", "colour=red"):
        assert kind(browser.get(f"/api/orders?{query}")) == (422, "invalid-request")


def test_a_client_that_prefers_to_wait_gets_the_outcome_in_the_same_answer(world: World) -> None:
    with ExitStack() as stack:
        for service, (handlers, settings) in world.handlers.items():
            stack.enter_context(working(service, handlers, settings))
        good = buy(world.browser(), headers={"Prefer": "wait=3"})
        bad = buy(world.browser(), ("GOLD", 1), headers={"Prefer": "respond-async, wait=30"})
    assert (good.status_code, good.headers["Preference-Applied"]) == (200, "wait=3")
    assert good.json["status"] in ("confirmed", "completed")
    assert (bad.status_code, bad.headers["Preference-Applied"], bad.json["status"]) == (200, "wait=5", "rejected")


def test_a_wait_ends_in_time_and_the_order_stays_placed(world: World) -> None:
    started = time.monotonic()
    answer = buy(world.browser(), headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json["status"]) == (202, "placed")
    assert 0.9 < time.monotonic() - started < 1.9
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_beyond_the_places_for_waiting_202_comes_at_once(
    redis_ledger: str, redis_session: str, database_url: str
) -> None:
    world = World(redis_ledger, redis_session, database_url, prefer_wait_places=1).open()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: buy(world.browser(), headers={"Prefer": "wait=1"}), range(2)))
    assert [answer.status_code for answer in answers] == [202, 202]
    assert sorted("Preference-Applied" in answer.headers for answer in answers) == [False, True]


def test_before_the_pivot_a_cancellation_undoes_what_was_done(world: World) -> None:
    browser = world.browser()
    where = buy(browser).headers["Location"]
    world.work("fulfillment").work("orders")

    asked = browser.post(f"{where}/cancellation", json={"reason": "changed my mind"})
    again = browser.post(f"{where}/cancellation")
    assert (asked.status_code, asked.json["status"], asked.json["reason"]) == (202, "cancelling", "changed my mind")
    assert (again.status_code, again.json) == (202, asked.json)

    world.settle()
    ended = browser.post(f"{where}/cancellation")
    assert (ended.status_code, ended.json["status"], ended.json["reason"]) == (200, "cancelled", "changed my mind")
    assert browser.get("/api/orders").json["items"][0]["status"] == "cancelled"


def test_after_the_pivot_a_cancellation_is_a_refund(world: World) -> None:
    browser = world.browser()
    where = buy(browser).headers["Location"]
    world.settle()
    assert browser.get(where).json["status"] == "completed"

    asked = browser.post(f"{where}/cancellation", json={})
    assert (asked.status_code, asked.json["status"]) == (202, "refunding")
    world.settle()
    assert browser.get(where).json["status"] == "refunded"
    assert browser.get("/api/orders").json["items"][0]["status"] == "refunded"


def test_an_order_we_refused_or_that_left_the_ledger_is_too_late_to_cancel(world: World) -> None:
    browser = world.browser()
    refused, old = buy(browser, ("GOLD", 1)).headers["Location"], buy(browser).json["order_id"]
    world.settle()
    world.redis.delete(store.order_key(old))

    assert kind(browser.post(f"{refused}/cancellation")) == (409, "too-late")
    assert kind(browser.post(f"/api/orders/{old}/cancellation")) == (409, "too-late")
    assert kind(browser.post(f"{refused}/cancellation", json={"reason": "x" * 201})) == (422, "invalid-request")


def test_cancellations_and_the_pivot_at_once_leave_one_winner(world: World) -> None:
    browser = world.browser()
    orders = [buy(browser).json["order_id"] for _ in range(20)]
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(4))
        for service, (handlers, settings) in world.handlers.items():
            stack.enter_context(working(service, handlers, settings))
        answers = list(threads.map(lambda o: world.browser().post(f"/api/orders/{o}/cancellation"), orders))
    world.settle()

    promised = {"cancelling": "cancelled", "cancelled": "cancelled", "refunding": "refunded", "refunded": "refunded"}
    for order_id, answer in zip(orders, answers, strict=True):
        ended = browser.get(f"/api/orders/{order_id}").json["status"]
        assert ended == promised[answer.json["status"]]


@pytest.mark.sql
def test_an_order_that_left_the_ledger_is_told_from_the_journal(world: World) -> None:
    browser = world.browser()
    where = buy(browser).headers["Location"]
    world.settle()
    before, told = browser.get(where).json, browser.get(f"{where}/timeline").json
    world.redis.delete(store.order_key(before["order_id"]))

    assert browser.get(where).json == before
    assert browser.get(f"{where}/timeline").json == told
    assert kind(world.browser("c2").get(where)) == (404, "no-order")


def test_a_timeline_does_not_wait_long_for_a_journal_that_stands_still(world: World) -> None:
    browser = world.browser()
    where = buy(browser).headers["Location"]
    started = time.monotonic()
    told = browser.get(f"{where}/timeline").json
    assert (told["complete"], told["entries"], told["status"]) == (False, [], "placed")
    assert time.monotonic() - started < 1.6
    world.project()
    assert browser.get(f"{where}/timeline").json["complete"]


@pytest.mark.feature("F07")
@pytest.mark.sql
def test_the_read_model_is_rebuilt_while_orders_flow_and_readers_see_it_whole(world: World) -> None:
    browser, operator = world.browser(), world.browser("op", "operator")
    for _ in range(5):
        buy(browser)
    world.settle()
    shown = browser.get("/api/orders").json
    buy(browser)  # on its way while the rebuild is asked for

    asked = operator.post("/admin/orders/read-model/rebuild")
    assert (asked.status_code, asked.json["rebuilding"]) == (202, True)
    assert browser.get("/api/orders").json == shown

    world.settle()
    assert operator.get("/admin/orders/read-model").json == {
        "name": "order_list", "version": 1, "rebuilding": False, "orders": 6,
    }  # fmt: skip
    assert [order for order in browser.get("/api/orders").json["items"] if order in shown["items"]] == shown["items"]


@pytest.mark.sql
def test_the_operator_sees_open_sagas_with_their_steps(world: World) -> None:
    operator = world.browser("op", "operator")
    done = buy(world.browser()).json["order_id"]
    world.settle()
    waiting = buy(world.browser()).json["order_id"]
    world.project()

    open_ones = operator.get("/admin/orders/sagas").json["items"]
    assert [(saga["order_id"], saga["status"]) for saga in open_ones] == [(waiting, "placed")]
    assert open_ones[0]["steps"]["stock"] == {"status": "asked", "attempt": 1}
    completed = operator.get("/admin/orders/sagas?status=completed").json["items"]
    assert [saga["order_id"] for saga in completed] == [done]
    one = operator.get(f"/admin/orders/sagas/{done}").json
    assert (one["status"], len(one["steps"])) == ("completed", 4)


@pytest.mark.sql
def test_before_the_projectors_first_start_lists_are_503_and_orders_are_taken(
    redis_ledger: str, redis_session: str, database_url: str
) -> None:
    world = World(redis_ledger, redis_session, database_url)
    world.sell("MUG", 900)
    world.work()
    placed = buy(world.browser()).json["order_id"]
    for path in ("/api/orders", f"/api/orders/{placed}/timeline", "/api/orders/of-nobody"):
        answer = world.browser().get(path)
        assert (kind(answer), answer.headers["Retry-After"]) == ((503, "unavailable"), "2")
    world.projector.prepare()
    world.settle()
    assert [order["order_id"] for order in world.browser().get("/api/orders").json["items"]] == [placed]


def test_redis_down_or_silent_is_503_within_two_seconds_and_service_resumes_by_itself(
    own_redis: Callable[..., RedisServer], redis_session: str, database_url: str
) -> None:
    server = own_redis(durable=True)
    world = World(server.url, redis_session, database_url).open()
    browser = world.browser()
    where = buy(browser).headers["Location"]

    def all_unavailable() -> None:
        requests: list[Callable[[], Any]] = [
            lambda: buy(browser),
            lambda: browser.get(where),
            lambda: browser.post(f"{where}/cancellation"),
            lambda: world.app.test_client().get("/readyz"),
        ]
        for request in requests:
            started = time.monotonic()
            answer = request()
            assert kind(answer) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
            assert time.monotonic() - started < 2

    server.freeze()
    all_unavailable()
    server.thaw()
    server.stop()
    all_unavailable()
    server.start()
    assert buy(browser).status_code == 202
    assert browser.get(where).json["status"] == "placed"


def test_a_full_ledger_takes_no_new_orders_and_says_when_to_come_again(world: World) -> None:
    world.redis.config_set("maxmemory", int(world.redis.info("memory")["used_memory"] * 1.1))
    try:
        answer = buy(world.browser())
    finally:
        world.redis.config_set("maxmemory", 0)
    assert kind(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert world.events() == []
    assert buy(world.browser()).status_code == 202
