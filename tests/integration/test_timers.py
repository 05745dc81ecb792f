"""Timers: once each, at their deadline, and after the replies that came before it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sagashop import keys
from sagashop.messages import now_ms
from tests.integration.toy import NEWS, News, Tick, Toy, row
from tests.servers import eventually

pytestmark = pytest.mark.feature("F10")
DEADLINES, TICKS = keys.deadlines("toy"), keys.stream("toy.timers")


@pytest.fixture
def toy(redis_ledger: str) -> Toy:
    return Toy(redis_ledger)


def test_a_timer_fires_once_at_its_deadline(toy: Toy) -> None:
    toy.tell(News("a", after_s=0.2))
    worker, began = toy.worker(), time.monotonic()
    toy.work(worker)
    assert "ticks" not in toy.row("a")
    eventually(lambda: toy.work(worker) and "ticks" in toy.row("a"))
    assert time.monotonic() - began >= 0.2
    toy.work(worker)
    assert toy.row("a")["ticks"] == "1"
    assert toy.redis.zcard(DEADLINES) == 0


def test_many_movers_move_each_timer_once(toy: Toy) -> None:
    toy.redis.zadd(DEADLINES, {f'Tick {{"name":"{n}"}}': 1 for n in range(50)})
    with ThreadPoolExecutor(4) as pool:
        moved = list(pool.map(lambda n: toy.inbox(f"toy-{n}").fire_timers(), range(12)))
    assert sum(moved) == len(toy.entries(TICKS)) == 50


def test_a_cleared_timer_does_not_fire(toy: Toy) -> None:
    toy.tell(News("a", after_s=0.1), News("b", after_s=0.1))
    toy.work()
    toy.tell(News("a"))
    worker = toy.worker()
    eventually(lambda: toy.work(worker) and "ticks" in toy.row("b"))
    assert "ticks" not in toy.row("a")


def test_setting_a_timer_again_moves_its_deadline(toy: Toy) -> None:
    toy.tell(News("a", after_s=0.4), News("b", after_s=0.4))
    worker = toy.worker()
    toy.work(worker)
    toy.tell(News("a", after_s=30))
    eventually(lambda: toy.work(worker) and "ticks" in toy.row("b"))
    assert "ticks" not in toy.row("a")
    assert toy.redis.zcard(DEADLINES) == 1


def due(toy: Toy, name: str, ago_ms: int = 1_000) -> None:
    """A deadline that passed while the service was down."""
    toy.redis.zadd(DEADLINES, {f'Tick {{"name":"{name}"}}': now_ms() - ago_ms})


def test_after_a_downtime_replies_come_before_timers(toy: Toy) -> None:
    due(toy, "a")
    toy.tell(News("a", after_s=60))
    toy.work()
    assert toy.row("a") == {"heard": "1"}, "the reply moved the deadline, though it had passed"


def test_a_timer_waits_for_a_reply_that_came_before_its_deadline_and_that_nobody_has_read(toy: Toy) -> None:
    toy.tell(News("a"))
    late = now_ms() + 5
    toy.redis.zadd(DEADLINES, {'Tick {"name":"a"}': late})
    due(toy, "b")
    eventually(lambda: now_ms() > late)
    inbox = toy.inbox("toy-1")
    assert inbox.fire_timers() == 1, "only the one whose deadline is older than the reply"
    assert [fields["data"] for _, fields in toy.entries(TICKS)] == ['{"name":"b"}']
    toy.work()
    assert toy.redis.zcard(DEADLINES) == 0


def test_a_timer_waits_for_replies_in_the_hands_of_a_worker_that_died(toy: Toy) -> None:
    toy.tell(News("a"))
    toy.inbox("dead").read(10, 5)
    toy.redis.zadd(DEADLINES, {'Tick {"name":"a"}': now_ms() + 1})
    worker = toy.worker("alive")
    toy.work(worker)
    eventually(lambda: toy.work(worker) and "heard" in toy.row("a"))
    assert toy.row("a") == {"heard": "1"}, "the reply was taken over, and cleared the timer"


def test_a_reply_that_fails_again_and_again_does_not_hold_the_timers_of_others(redis_ledger: str) -> None:
    toy = Toy(redis_ledger, max_deliveries=20)
    toy.redis.hset(row("bad"), "heard", "many")
    toy.tell(News("bad"))
    due(toy, "b", ago_ms=-20)
    worker = toy.worker()
    eventually(lambda: toy.work(worker) and "ticks" in toy.row("b"))
    assert toy.pending(NEWS) == 1, "it is still being tried"


def test_a_reply_that_was_deleted_while_pending_holds_no_timer_for_long(toy: Toy) -> None:
    toy.tell(News("gone"))
    (delivery,) = toy.inbox("dead").read(10, 5)
    toy.redis.xdel(NEWS, delivery.entry)
    due(toy, "a", ago_ms=-20)
    worker = toy.worker()
    eventually(lambda: toy.work(worker) and "ticks" in toy.row("a"))
    assert toy.pending(NEWS) == 0


def test_a_deadline_nobody_understands_becomes_a_dead_letter_and_the_others_fire(toy: Toy) -> None:
    toy.redis.zadd(DEADLINES, {"nonsense": 1, 'Tock {"name":"a"}': 1, 'Tick {"name":"a"}': 1})
    toy.work()
    assert len(toy.letters) == 2
    assert toy.row("a")["ticks"] == "1"


def test_timers_wait_while_the_group_is_lost(toy: Toy) -> None:
    due(toy, "a")
    toy.redis.xgroup_destroy(NEWS, "toy")
    inbox = toy.inbox("toy-1")
    with pytest.raises(Exception, match="NOGROUP"):
        inbox.fire_timers()
    inbox.prepare()
    assert inbox.fire_timers() == 1
    assert toy.entries(TICKS)[0][1]["type"] == Tick.__name__
