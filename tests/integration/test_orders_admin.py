"""The operator's endpoints that every service has, as orders mounts them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from contracts.storefront import ProductPriced
from sagashop import keys
from sagashop.messages import encode
from tests.integration.orders_world import World, buy, kind
from tests.servers import eventually

GOOD = encode(ProductPriced(sku="NEW", revision=1, name="New", category="test", price_cents=5))


@pytest.fixture
def world(redis_ledger: str, redis_session: str, database_url: str) -> World:
    return World(redis_ledger, redis_session, database_url).open()


def break_something(world: World, *data: str) -> None:
    """Entries on a stream that orders reads, which it cannot handle."""
    for text in data:
        fields: Any = {"type": "ProductPriced", "version": "1", "id": "m1", "time_ms": "1", "producer": "test"}
        world.redis.xadd(keys.stream("storefront.events"), fields | {"data": text})
    world.work("orders")


@pytest.mark.feature("F14")
def test_a_dead_letter_is_shown_mended_and_replayed_once(world: World) -> None:
    operator = world.browser("op", "operator")
    break_something(world, "{", "{}", "[]")

    page = operator.get("/admin/orders/dead-letters?limit=2").json
    assert (len(page["items"]), page["total"]) == (2, 3)
    rest = operator.get(f"/admin/orders/dead-letters?after={page['next_after']}").json
    assert (len(rest["items"]), rest["next_after"]) == (1, None)

    letter = operator.get(f"/admin/orders/dead-letters/{page['items'][0]['id']}").json
    assert (letter["fields"]["data"], letter["attempts"], "malformed" in letter["reason"]) == ("{", 1, True)
    where = f"/admin/orders/dead-letters/{letter['id']}"
    assert operator.post(f"{where}/replay", json={"changes": {"data": GOOD}}).status_code == 202
    assert kind(operator.post(f"{where}/replay")) == (404, "no-dead-letter")
    assert operator.get("/admin/orders/status").json["dead_letters"] == 2

    world.work("orders")
    assert buy(world.browser(), ("NEW", 1)).json["total_cents"] == 5


@pytest.mark.feature("F42")
def test_what_is_on_rabbitmq_is_told_to_operators_only(world: World) -> None:
    assert kind(world.browser("c1").get("/admin/orders/rabbit"))[0] == 403
    told = world.browser("op", "operator").get("/admin/orders/rabbit").json
    assert {each["name"] for each in told["own"]["exchanges"]} == {"orders.work"}
    assert told["rights"]["configure"] == r"^(orders\.)"


def test_a_dead_letter_is_discarded_once(world: World) -> None:
    operator = world.browser("op", "operator")
    break_something(world, "{")
    letter_id = operator.get("/admin/orders/dead-letters").json["items"][0]["id"]
    assert operator.delete(f"/admin/orders/dead-letters/{letter_id}").json["outcome"] == "discarded"
    assert kind(operator.delete(f"/admin/orders/dead-letters/{letter_id}")) == (404, "no-dead-letter")
    assert kind(operator.get(f"/admin/orders/dead-letters/{letter_id}")) == (404, "no-dead-letter")


def test_foreign_bytes_in_a_dead_letter_are_shown_escaped(world: World) -> None:
    foreign: Any = {b"ty\xffpe": b"\xfe"}
    world.redis.xadd(keys.stream("storefront.events"), foreign)
    world.work("orders")
    letters = world.browser("op", "operator").get("/admin/orders/dead-letters").json
    assert letters["items"][0]["fields"] == {"ty\\udcffpe": "\\udcfe"}


def test_what_names_no_dead_letter_is_not_found_and_a_bad_query_is_refused(world: World) -> None:
    operator = world.browser("op", "operator")
    for letter_id in ("nonsense", "1", "1-", "9-9", "-", "+"):
        assert kind(operator.get(f"/admin/orders/dead-letters/{letter_id}")) == (404, "no-dead-letter")
        assert kind(operator.delete(f"/admin/orders/dead-letters/{letter_id}")) == (404, "no-dead-letter")
    for query in ("after=x", "limit=0", "limit=201"):
        assert kind(operator.get(f"/admin/orders/dead-letters?{query}")) == (422, "invalid-request")


def test_workers_see_when_the_operator_pauses_and_resumes_their_service(world: World) -> None:
    operator = world.browser("op", "operator")
    inbox = world.bus.inbox("orders", world.handlers["orders"][0], "orders-2")
    stopping = threading.Event()
    tending = threading.Thread(target=inbox.tend, args=(stopping,), daemon=True)
    tending.start()
    try:
        assert operator.post("/admin/orders/pause").json["paused"]
        eventually(inbox.paused)
        assert operator.get("/admin/orders/status").json["paused"]
        assert not operator.post("/admin/orders/resume").json["paused"]
        eventually(lambda: not inbox.paused())
    finally:
        stopping.set()
        tending.join(5)


def test_the_services_own_streams_are_shown_with_groups_lag_and_pending(world: World) -> None:
    buy(world.browser())
    streams = {s["channel"]: s for s in world.browser("op", "operator").get("/admin/orders/streams").json["streams"]}
    assert set(streams) == {"orders.events", "orders.timers", "orders.replay"}  # nothing has died yet
    events = streams["orders.events"]
    assert events["length"] == 1
    assert {group["name"]: group["lag"] for group in events["groups"]} == {"orders-journal": 1}


def test_only_operators_come_in(world: World) -> None:
    paths = ["streams", "status", "dead-letters", "dead-letters/1-1"]
    for path in paths:
        assert kind(world.app.test_client().get(f"/admin/orders/{path}")) == (401, "not-logged-in")
        assert kind(world.browser().get(f"/admin/orders/{path}")) == (403, "forbidden")
    for path in ("pause", "resume", "dead-letters/1-1/replay"):
        assert kind(world.browser().post(f"/admin/orders/{path}")) == (403, "forbidden")
    assert kind(world.browser().delete("/admin/orders/dead-letters/1-1")) == (403, "forbidden")
