"""The event stream as deployed: gunicorn with its gevent worker, a real Redis, a real journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.integration.live_process import Live, told
from tests.integration.orders_world import World, buy
from tests.servers import RedisServer, eventually


@pytest.fixture
def world(redis_ledger: str, redis_session: str, database_url: str) -> World:
    return World(redis_ledger, redis_session, database_url).open()


@pytest.fixture
def live(world: World) -> Iterator[Live]:
    process = Live(world, LIVE_CONNECTIONS="3")
    yield process
    process.stop()


def test_a_browser_follows_its_order_live_from_the_first_event_to_the_delivery(world: World, live: Live) -> None:
    order_id = buy(world.browser()).json["order_id"]
    stream = live.open(order_id)
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    events = told(stream)
    world.project()
    first = next(events)
    assert (first[:2], first[2]["total_cents"]) == ((1, "OrderPlaced"), 900)

    world.work()  # the journal stands still meanwhile: what comes now is live
    rest = list(events)  # the server ends the stream after the delivery
    assert [number for number, _, _ in rest] == list(range(2, len(rest) + 2))
    assert {"OrderConfirmed", "OrderCompleted", "OrderShipped"} <= {name for _, name, _ in rest}
    assert all(data["order_id"] == order_id and data["time_ms"] >= first[2]["time_ms"] for _, _, data in rest)


def test_a_browser_that_comes_back_gets_what_it_missed_and_then_is_sent_home(world: World, live: Live) -> None:
    order_id = buy(world.browser()).json["order_id"]
    world.settle()
    everything = list(told(live.open(order_id)))
    missed = list(told(live.open(order_id, **{"Last-Event-ID": "2"})))
    assert missed == everything[2:]
    assert live.open(order_id, **{"Last-Event-ID": str(everything[-1][0])}).status_code == 204


def test_events_that_the_journal_does_not_have_yet_are_not_lost(world: World, live: Live) -> None:
    order_id = buy(world.browser()).json["order_id"]
    world.work("fulfillment").work("orders")  # two events that nobody was told of
    stream = live.open(order_id)
    lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
    assert next(lines).startswith("retry:")
    eventually(lambda: "still here" in next(lines))  # it waits for the journal
    world.settle()
    numbers = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 4


def test_streams_are_for_the_owner_and_the_operator_and_not_endless_in_number(world: World, live: Live) -> None:
    order_id = buy(world.browser()).json["order_id"]
    assert live.open(order_id, "c2").status_code == 404
    assert live.open("0" * 32).status_code == 404
    assert requests.get(f"{live.url}/api/orders/{order_id}/events", timeout=5).status_code == 401
    assert live.open(order_id, **{"Last-Event-ID": "x"}).status_code == 422

    three = [live.open(order_id) for _ in range(3)]
    fourth = live.open(order_id)
    assert [stream.status_code for stream in three] == [200, 200, 200]
    assert (fourth.status_code, fourth.json()["type"].rsplit("/")[-1]) == (503, "unavailable")
    three[0].close()
    eventually(lambda: live.open(order_id).status_code == 200)  # the next heartbeat finds that it has gone


def test_a_stream_outlives_a_restart_of_redis_and_misses_nothing(
    own_redis: Callable[..., RedisServer], redis_session: str, database_url: str
) -> None:
    server = own_redis(durable=True)
    world = World(server.url, redis_session, database_url).open()
    live = Live(world)
    try:
        order_id = buy(world.browser()).json["order_id"]
        world.project()
        events = told(live.open(order_id))
        assert next(events)[1] == "OrderPlaced"
        server.stop()
        server.start()
        world.settle()
        assert [number for number, _, _ in events][:4] == [2, 3, 4, 5]
    finally:
        live.stop()


def test_an_open_stream_does_not_hold_up_the_end_of_the_process(world: World) -> None:
    live = Live(world)
    order_id = buy(world.browser()).json["order_id"]
    stream = live.open(order_id)
    assert stream.status_code == 200
    started = time.monotonic()
    live.stop()
    assert time.monotonic() - started < 5
