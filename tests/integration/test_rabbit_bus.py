"""The bus on RabbitMQ keeps what the bus on Redis keeps: exactly once in effect, nothing lost, failures set aside."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sagashop import keys, redis_clients
from sagashop.buses import WrongBus, claim
from sagashop.effects import Add, Effects
from sagashop.health import Pulse
from sagashop.messages import Envelope, now_ms
from sagashop.rabbit.events import bus_part, inbox_queue
from sagashop.rabbit.fence import Fence
from sagashop.rabbit.layout import dead_queue
from sagashop.rabbit.relay import to_wire
from sagashop.rabbit.topology import declare
from sagashop.settings import Settings
from sagashop.streams.commit import straight
from sagashop.tasks.burial import DIED
from sagashop.worker import Worker
from tests.integration.rabbit_toy import BLOCK_MS, QUEUE, RabbitToy
from tests.integration.toy import COMMANDS, NEWS, Count, Counted, Move, News, Toy, handlers, row
from tests.rabbit import RabbitServer
from tests.servers import eventually

pytestmark = pytest.mark.feature("F42")


@pytest.fixture
def toy(rabbit_server: RabbitServer, redis_ledger: str) -> Iterator[RabbitToy]:
    made = RabbitToy(rabbit_server, redis_ledger)
    yield made
    made.close()


def test_effects_take_hold_once_and_events_come_out_at_the_other_end(toy: RabbitToy) -> None:
    toy.tell(Count("a"), Count("a"), Count("b"))
    toy.work(toy.worker())
    assert (toy.row("a"), toy.row("b"), toy.counted()) == ({"n": "2"}, {"n": "1"}, 3)
    assert toy.waiting() == 0
    assert toy.redis.exists(COMMANDS) == 0 or toy.redis.xlen(COMMANDS) == 0, "no command went over Redis"


def test_a_message_that_comes_twice_is_committed_once(toy: RabbitToy) -> None:
    """The relay's confirmation was lost: it publishes the entry again."""
    toy.tell(Count("a"))
    worker = toy.worker()
    toy.work(worker)
    ((entry, fields),) = toy.outbox()
    fields.pop("channel")
    toy.relays[0]._publisher.publish([to_wire("test.out", entry, "toy.commands", fields)] * 2)
    toy.work(worker)
    assert (toy.row("a"), toy.counted(), toy.waiting()) == ({"n": "1"}, 1, 0)


def test_the_same_command_sent_twice_is_handled_twice(toy: RabbitToy) -> None:
    """A saga that has no answer sends its command again, under the same id; the handler answers again."""
    envelope = Envelope(message=Count("a"), id="same", time_ms=now_ms(), producer="test")
    toy.bus.publish([envelope, envelope])
    toy.work(toy.worker())
    assert toy.row("a") == {"n": "2"}


def test_a_consumer_that_dies_with_messages_in_hand_leaves_them_to_another(toy: RabbitToy) -> None:
    toy.tell(*(Count("a") for _ in range(10)))
    dying = toy.inbox("dying")
    eventually(lambda: dying.read(10, BLOCK_MS))
    dying.close()
    other = toy.worker("other")
    eventually(lambda: toy.work(other) and toy.row("a") == {"n": "10"})
    assert toy.waiting() == 0


def test_a_zombie_that_commits_after_a_takeover_has_no_effect(toy: RabbitToy) -> None:
    toy.tell(Count("a"))
    zombie = toy.inbox("zombie")
    (delivery,) = eventually(lambda: zombie.read(1, BLOCK_MS))
    toy.redis.zadd(keys.fence("toy"), {delivery.entry: now_ms()})  # as whoever took over has done
    late = Effects([Counted("a")], [Add(row("a"), "n", 1)])
    assert zombie.commit([(delivery, late, "")]) == []
    assert (toy.row("a"), toy.counted()) == ({}, 0)


@pytest.mark.feature("F13")
def test_a_message_that_fails_waits_in_delay_queues_and_then_is_set_aside(toy: RabbitToy) -> None:
    toy.tell(Count("bad", mood="raise"), Count("good"))
    worker, began = toy.worker(), time.monotonic()
    toy.work(worker, 0.05)
    assert toy.row("good") == {"n": "1"}, "it holds up nobody"
    eventually(lambda: toy.work(worker, 0.1) and len(toy.letters))
    assert time.monotonic() - began >= 0.1 + 0.2, "visibility, then twice as long"
    (letter,) = toy.letters.page()
    assert (letter.source, letter.attempts, letter.reason) == (COMMANDS, 3, "ArithmeticError: bad does not count")
    assert "test.out/" in letter.entry
    assert toy.waiting() == 0


@pytest.mark.feature("F14")
def test_a_dead_letter_that_was_mended_is_replayed_once(toy: RabbitToy) -> None:
    toy.tell(Count("a", mood="raise"))
    worker = toy.worker()
    eventually(lambda: toy.work(worker, 0.1) and len(toy.letters))
    letter = toy.letters.page()[0]
    assert toy.letters.replay(letter.id, {"data": '{"name":"a"}'})
    eventually(lambda: toy.work(worker) and toy.row("a"))
    assert (toy.row("a"), len(toy.letters)) == ({"n": "1"}, 0)


def _live(port_home: tuple[Any, str]) -> None:
    server, url = port_home
    toy = object.__new__(RabbitToy)
    RabbitToy.forget = lambda self: None  # type: ignore[method-assign]
    toy.__init__(server, url, max_deliveries=2)  # type: ignore[misc]
    worker = toy.worker()
    for _ in range(30):
        worker.step(BLOCK_MS)


@pytest.mark.slow
@pytest.mark.feature("F13")
def test_a_message_that_kills_its_worker_is_set_aside_and_takes_no_other_with_it(
    rabbit_server: RabbitServer, redis_ledger: str
) -> None:
    toy = RabbitToy(rabbit_server, redis_ledger, max_deliveries=2)
    toy.tell(*(Count("a") for _ in range(8)), Count("killer", mood="die"), *(Count("a") for _ in range(8)))
    deaths = []
    for _ in range(6):
        process = multiprocessing.get_context("fork").Process(target=_live, args=((rabbit_server, redis_ledger),))
        process.start()
        process.join(30)
        deaths.append(process.exitcode)
        if len(toy.letters):
            break
    assert deaths.count(9) == 2, f"as often as it may be tried, not {deaths}"
    (letter,) = toy.letters.page()
    assert (letter.fields["data"], letter.attempts) == ('{"name":"killer","mood":"die"}', 3)
    assert toy.row("a") == {"n": "16"}
    assert toy.waiting() == 0
    toy.close()


ENTRIES: list[Any] = [
    {"foo": "bar"},
    {b"data": b"\xff\xfe\x00"},
    {**Toy.fields(Count("a")), "data": "not json"},
    {**Toy.fields(Count("a")), "type": "Unheard"},
]


@pytest.mark.feature("F13")
@pytest.mark.parametrize("fields", ENTRIES, ids=str)
def test_a_malformed_entry_comes_through_unharmed_and_is_set_aside(toy: RabbitToy, fields: Any) -> None:
    entry = toy.write("toy.commands", fields)
    toy.tell(Count("a"))
    worker = toy.worker()
    eventually(lambda: toy.work(worker, 0.02) and toy.row("a") and len(toy.letters))
    (letter,) = toy.letters.page()
    assert (letter.entry, letter.source) == (entry, COMMANDS)
    assert {_bytes(k): _bytes(v) for k, v in letter.fields.items()} == {_bytes(k): _bytes(v) for k, v in fields.items()}
    assert toy.row("a") == {"n": "1"}


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def test_a_service_hears_only_the_types_it_handles(toy: RabbitToy) -> None:
    toy.redis.xadd(NEWS, toy_fields(News("x"), type="OtherNews"))
    toy.redis.xadd(NEWS, toy_fields(News("x")))
    toy.work(toy.worker())
    assert (toy.row("x"), len(toy.letters)) == ({"heard": "1"}, 0)


toy_fields = Toy.fields


def test_a_new_service_joins_by_binding_with_no_change_elsewhere(toy: RabbitToy) -> None:
    newcomer = bus_part("newcomer", [Counted])
    declare(toy.server.url(), "test", newcomer)
    try:
        toy.tell(Count("a"))
        toy.work(toy.worker())
        eventually(lambda: toy.server.depth(inbox_queue("newcomer")) == 1)
    finally:
        with toy.server.channel() as channel:
            for queue in newcomer.queues:
                channel.queue_delete(queue.name)


def test_a_command_that_nobody_takes_yet_waits_for_its_reader(toy: RabbitToy) -> None:
    toy.forget()  # the queue is not there
    toy.bus.publish([_sealed(Count("a"))])
    (relay, *_) = toy.relays
    assert relay.step(1) == 0
    worker = toy.worker()  # declares it
    eventually(lambda: toy.work(worker) and toy.row("a") == {"n": "1"})


@pytest.mark.feature("F14")
def test_what_rabbitmq_sets_aside_is_among_the_dead_letters_of_the_service(toy: RabbitToy) -> None:
    toy.tell(Count("a"))
    with toy.server.channel() as channel:
        method, *_ = eventually(lambda: _one(channel))
        channel.basic_reject(method.delivery_tag, requeue=False)  # as the delivery limit does
    stopping = threading.Event()
    *_, bury = toy.bus.beside("toy", "toy-1")
    thread = threading.Thread(target=bury, args=(stopping,), daemon=True)
    thread.start()
    try:
        eventually(lambda: len(toy.letters))
    finally:
        stopping.set()
        thread.join(10)
    (letter,) = toy.letters.page()
    assert (letter.source, letter.fields["type"], letter.reason) == (QUEUE, "Count", f"{DIED} (RabbitMQ: rejected)")
    assert toy.server.depth(dead_queue("toy")) == 0
    assert toy.redis.zscore(keys.fence("toy"), letter.entry), "a copy that comes late would be handled all the same"


def test_a_worker_whose_queue_vanishes_makes_it_again_and_goes_on(toy: RabbitToy) -> None:
    worker = toy.worker()
    toy.tell(Count("a"))
    assert toy.work(worker)
    with toy.server.channel() as channel:
        channel.queue_delete(QUEUE)
    toy.bus.publish([_sealed(Count("a"))])
    eventually(lambda: toy.work(worker) and toy.row("a") == {"n": "2"})


def _one(channel: Any) -> Any:
    found = channel.basic_get(QUEUE)
    return found if found[0] else None


def test_two_workers_on_one_row_lose_no_move(toy: RabbitToy) -> None:
    toy.tell(*(Move("a") for _ in range(100)))
    workers = [toy.worker(f"toy-{n}") for n in range(2)]

    def until_done(worker: Any) -> None:
        ends = time.monotonic() + 20
        while toy.row("a").get("version") != "100" and time.monotonic() < ends:
            worker.step(BLOCK_MS)

    threads = [threading.Thread(target=until_done, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (toy.row("a")["version"], toy.counted(), len(toy.letters)) == ("100", 100, 0)


@pytest.mark.feature("F10")
def test_timers_fire_once_at_their_deadline_and_after_the_replies_that_came_before(toy: RabbitToy) -> None:
    worker = toy.worker()
    toy.tell(News("a", after_s=0.8), News("b", after_s=0.8))
    toy.work(worker, 0.05)
    toy.tell(News("b"))
    eventually(lambda: toy.work(worker) and "ticks" in toy.row("a"))
    toy.work(worker)
    assert toy.row("a")["ticks"] == "1"
    assert "ticks" not in toy.row("b"), "it was cleared in time"


@pytest.mark.feature("F10")
def test_a_timer_waits_for_a_reply_that_its_relay_has_not_brought_yet(toy: RabbitToy) -> None:
    toy.redis.xadd(NEWS, toy_fields(News("a")))
    worker = toy.worker()
    late = now_ms() + 5
    toy.redis.zadd(keys.deadlines("toy"), {'Tick {"name":"a"}': late})
    ends = time.monotonic() + 0.5
    while time.monotonic() < ends:
        worker.step(20)
    assert "ticks" not in toy.row("a")
    toy.work(worker)
    assert toy.row("a") == {"heard": "1"}, "the reply came, and cleared it"


@pytest.mark.slow
def test_a_broker_that_was_killed_loses_nothing_that_was_accepted(own_rabbit: Any, redis_ledger: str) -> None:
    toy = RabbitToy(own_rabbit(), redis_ledger)
    stopping, accepted = threading.Event(), 0
    worker_inbox, relay = toy.inbox("loop"), toy.relays[0]
    worker = Worker(worker_inbox, handlers(), toy.settings)
    loop = (stopping, Pulse(), worker_inbox.prepare, lambda: False)
    threads = [
        threading.Thread(target=worker.run, args=loop, daemon=True),
        threading.Thread(target=relay.run, args=(stopping,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        for number in range(300):
            toy.bus.publish([_sealed(Move("a"))])
            accepted += 1
            if number == 100:
                toy.server.kill()
            time.sleep(0.003)
        toy.server.start()
        eventually(lambda: toy.row("a").get("version") == str(accepted), 40)
        eventually(lambda: toy.waiting() == 0, 20)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(20)
    assert (toy.counted(), len(toy.letters)) == (accepted, 0)
    toy.close()


def _sealed(message: Any) -> Envelope:
    return Envelope(message=message, id="x", time_ms=now_ms(), producer="test")


def test_a_redis_that_is_away_only_pauses_and_counts_against_no_message(toy: RabbitToy) -> None:
    toy.tell(*(Count("a") for _ in range(5)))
    inbox = toy.inbox()
    eventually(lambda: len(inbox.read(10, BLOCK_MS)) == 5)
    inbox.prepare()  # what the loop does after an error of a broker
    assert inbox.read(10, 5) == []
    again = list(inbox.retries(10))
    assert [delivery.attempt for delivery in again] == [1] * 5
    assert toy.server.depth(QUEUE) == 0


@pytest.mark.feature("F62")
def test_a_worker_on_the_wrong_bus_refuses_to_start_and_says_how_to_change(redis_ledger: str) -> None:
    redis = redis_clients.ledger(Settings(redis_ledger_url=redis_ledger))
    claim(redis, "toy", "redis")()
    claim(redis, "toy", "redis")()
    with pytest.raises(WrongBus, match=r"travel on redis(.|\n)*make up BUS=rabbitmq"):
        claim(redis, "toy", "rabbitmq")()


def test_the_fence_forgets_what_is_old_and_keeps_the_newest(toy: RabbitToy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagashop.rabbit.fence.KEEP", 10)
    fence, old = keys.fence("toy"), now_ms() - 400_000
    toy.redis.zadd(fence, {f"old-{n:02}": old + n for n in range(30)})
    guard = Fence("toy", toy.redis, straight)
    guard.shorten()
    assert toy.redis.zrange(fence, 0, -1) == [f"old-{n:02}" for n in range(20, 30)]
    toy.redis.zadd(fence, {f"new-{n:02}": now_ms() for n in range(30)})
    guard.shorten()
    assert toy.redis.zcard(fence) == 30, "none of the last five minutes"
