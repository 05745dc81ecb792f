"""The worker's loop: failures, takeover, poison, malformed entries. Nothing is ever acknowledged and forgotten."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import pytest

from sagashop import keys
from sagashop.messages import Envelope, Message, now_ms
from tests.integration.toy import COMMANDS, NEWS, Count, Counted, Move, News, Toy, row
from tests.servers import eventually


@pytest.fixture
def toy(redis_ledger: str) -> Toy:
    return Toy(redis_ledger)


@pytest.mark.feature("F13")
def test_a_message_that_fails_is_tried_again_with_backoff_and_then_set_aside(toy: Toy) -> None:
    toy.tell(Count("bad", mood="raise"), Count("good"))
    worker, began = toy.worker(), time.monotonic()
    toy.work(worker)
    assert toy.row("good") == {"n": "1"}, "it holds up nobody"
    eventually(lambda: toy.work(worker) and len(toy.letters))
    assert time.monotonic() - began >= 0.1 + 0.2, "visibility, then twice as long"
    (letter,) = toy.letters.page()
    assert (letter.source, letter.attempts, letter.reason) == (COMMANDS, 3, "ArithmeticError: bad does not count")
    assert "raise ArithmeticError" in letter.traceback
    assert letter.fields["data"] == '{"name":"bad","mood":"raise"}'
    assert toy.pending() == 0
    assert toy.row("bad") == {}


@pytest.mark.feature("F13")
def test_entries_of_a_dead_consumer_are_taken_over_after_the_visibility_time(toy: Toy) -> None:
    toy.tell(*(Count("a") for _ in range(30)))
    assert len(toy.inbox("dead").read(20, 5)) == 20
    worker = toy.worker("alive")
    toy.work(worker)
    assert toy.row("a") == {"n": "10"}, "they are not its own yet"
    eventually(lambda: toy.work(worker) and toy.row("a") == {"n": "30"})
    assert toy.pending() == 0


@pytest.mark.feature("F13")
def test_a_consumer_that_comes_back_takes_its_own_entries_at_once(redis_ledger: str) -> None:
    toy = Toy(redis_ledger, visibility_s=60.0)
    toy.tell(*(Count("a") for _ in range(30)))
    toy.inbox("toy-1").read(20, 5)
    toy.work(name="toy-1")
    assert toy.row("a") == {"n": "30"}


@pytest.mark.feature("F13")
def test_after_a_restart_an_entry_that_may_have_killed_us_waits_for_its_backoff(redis_ledger: str) -> None:
    toy = Toy(redis_ledger, visibility_s=60.0)
    toy.tell(Count("killer", mood="die"))
    (delivery,) = toy.inbox("toy-1").read(1, 5)
    toy.redis.xclaim(COMMANDS, "toy", "toy-1", 0, [delivery.entry])  # its second delivery
    toy.tell(Count("a"))
    toy.work(name="toy-1")
    assert toy.row("a") == {"n": "1"}
    assert toy.deliveries() == [2]


@pytest.mark.feature("F13")
def test_entries_that_wait_for_their_backoff_do_not_hide_those_behind_them(redis_ledger: str) -> None:
    toy = Toy(redis_ledger, batch_size=2, max_deliveries=20)
    toy.tell(*(Count("bad", mood="raise") for _ in range(6)))
    worker = toy.worker()
    toy.work(worker)
    bad: Any = [entry for entry, _ in toy.entries(COMMANDS)]
    toy.redis.xclaim(COMMANDS, "toy", "toy-1", 0, bad, idle=1_000, retrycount=10)  # due in fifty seconds
    toy.tell(Count("left"))
    toy.inbox("dead").read(10, 5)
    eventually(lambda: toy.work(worker) and toy.row("left"))
    assert toy.deliveries() == [10] * 6


def _live(url: str) -> None:
    Toy(url, max_deliveries=2, visibility_s=0.05).work(name="toy-1")


@pytest.mark.feature("F13")
def test_a_message_that_kills_its_worker_is_set_aside_and_takes_no_other_with_it(redis_ledger: str) -> None:
    toy = Toy(redis_ledger, max_deliveries=2, visibility_s=0.05)
    toy.tell(*(Count("a") for _ in range(8)), Count("killer", mood="die"), *(Count("a") for _ in range(8)))
    deaths = []
    for _ in range(60):
        process = multiprocessing.get_context("fork").Process(target=_live, args=(redis_ledger,))
        process.start()
        process.join(20)
        deaths.append(process.exitcode)
        if len(toy.letters):
            break
    assert deaths.count(9) == 2, "as often as it may be tried"
    (letter,) = toy.letters.page()
    assert (letter.fields["data"], letter.attempts) == ('{"name":"killer","mood":"die"}', 3)
    assert letter.reason.startswith("given up")
    assert toy.row("a") == {"n": "16"}
    assert toy.pending() == 0


ENTRIES: list[Any] = [
    {"foo": "bar"},
    {"": ""},
    {b"\xff": b"\xfe"},
    {b"data": b"\xff\xfe\x00"},
    {"type": "Count", "data": '{"name":"a"}'},
    {"data": '{"name":"a"}'},
]
CHANGES = [{"data": "not json"}, {"data": "{}"}, {"time_ms": "late"}, {"version": "99"}, {"type": "Unheard"}]
WHOLE = Toy.fields(Count("a"))


@pytest.mark.feature("F13")
@pytest.mark.parametrize("fields", [*ENTRIES, *({**WHOLE, **change} for change in CHANGES)], ids=str)
def test_a_malformed_entry_goes_to_the_dead_letters_and_the_group_goes_on(toy: Toy, fields: Any) -> None:
    entry = toy.redis.xadd(COMMANDS, fields)
    toy.tell(Count("a"))
    toy.work()
    (letter,) = toy.letters.page()
    assert (letter.entry, letter.source) == (entry, COMMANDS)
    kept = {_bytes(name): _bytes(value) for name, value in letter.fields.items()}
    assert kept == {_bytes(name): _bytes(value) for name, value in fields.items()}
    assert toy.row("a") == {"n": "1"}
    assert toy.pending() == 0


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


@pytest.mark.feature("F13")
def test_an_entry_with_more_fields_than_a_script_can_take_is_set_aside_too(toy: Toy) -> None:
    fields = {f"f{n}": f"{n}\udcff" for n in range(5_000)}
    toy.redis.xadd(COMMANDS, fields)  # type: ignore[arg-type]
    toy.tell(Count("a"))
    toy.work()
    (letter,) = toy.letters.page()
    assert letter.fields == fields
    assert (toy.pending(), toy.row("a")) == (0, {"n": "1"})


@pytest.mark.feature("F13")
def test_a_message_for_others_is_passed_over_on_a_shared_channel_but_never_on_our_own(toy: Toy) -> None:
    for stream in (NEWS, COMMANDS):
        toy.redis.xadd(stream, toy.fields(Counted("x"), type="MoreNews"))
    toy.work()
    (letter,) = toy.letters.page()
    assert letter.source == COMMANDS
    assert (toy.pending(NEWS), toy.pending(COMMANDS)) == (0, 0)


@pytest.mark.feature("F13")
def test_a_row_of_the_wrong_kind_ends_in_the_dead_letters_and_holds_up_nobody(toy: Toy) -> None:
    toy.redis.set(row("odd"), "a string, where a hash belongs")
    toy.redis.hset(row("text"), "version", "many")
    toy.tell(Count("odd"), Move("text"), Count("good"))
    worker = toy.worker()
    eventually(lambda: toy.work(worker) and toy.row("good") == {"n": "1"})
    eventually(lambda: toy.work(worker) and len(toy.letters) == 2)
    assert toy.pending() == 0


@pytest.mark.feature("F20")
def test_a_paused_service_reads_nothing_also_just_after_a_restart(toy: Toy) -> None:
    toy.redis.set(keys.paused("toy"), "1")
    inbox = toy.inbox("toy-1")
    inbox.prepare()
    assert inbox.paused()
    toy.redis.delete(keys.paused("toy"))
    inbox.prepare()
    assert not inbox.paused()


@pytest.mark.feature("F13")
def test_a_decision_that_cannot_be_applied_does_not_stop_the_loop(toy: Toy) -> None:
    """Adding to a field that holds no number fails in memory before it could fail in Redis."""
    toy.redis.hset(row("words"), "n", "three")
    toy.tell(Count("words"), Count("good"))
    worker = toy.worker()
    eventually(lambda: toy.work(worker) and len(toy.letters))
    assert toy.row("good") == {"n": "1"}
    assert toy.row("words") == {"n": "three"}


@pytest.mark.feature("F13")
def test_the_same_message_sent_twice_is_two_entries_and_both_are_handled(toy: Toy) -> None:
    message: Message = News("a")
    envelope = Envelope(message=message, id="same", time_ms=now_ms(), producer="test")
    toy.bus.publish([envelope, envelope])
    toy.work()
    assert toy.row("a")["heard"] == "2"
