"""Long work whose message RabbitMQ lost: it is asked for again, and done once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sagashop import keys
from sagashop.tasks.lease import Lease, Leases
from sagashop.tasks.runner import Done, Work
from sagashop.tasks.task import list_of
from sagashop.web.auth import Who
from services.orders.handlers import make_handlers
from services.orders.messages import MakeInvoice
from services.orders.saga import checkout
from tests.integration.rigs import working
from tests.integration.tasks_world import Office, by_name, paper
from tests.rabbit import RabbitServer
from tests.servers import eventually

pytestmark = pytest.mark.feature("F43")
CUSTOMER = Who("c1", "customer", "Demo")
OUTBOX = keys.stream("orders.tasks")
QUIET_S = 1.0


@pytest.fixture
def office(redis_ledger: str, rabbit_server: RabbitServer, tmp_path: Path) -> Iterator[Office]:
    rabbit_server.purge(["orders.tasks", "orders.dead"])
    yield Office(redis_ledger, rabbit_server, tmp_path)
    rabbit_server.purge(["orders.tasks", "orders.dead"])


class Counting:
    """A job that notes each of its runs."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def __call__(self, message: MakeInvoice, work: Work) -> Done:
        self.runs.append(message.task_id)
        return by_name(message, work)


def lost_on_the_way(office: Office, what: str = "") -> str:
    """A task whose message was confirmed by the broker, and is gone."""
    with office.relaying():
        task_id = office.submit(what)
        eventually(lambda: office.rabbit.depth("orders.tasks") == 1)
    office.rabbit.purge(["orders.tasks"])
    return task_id


def is_open(office: Office, task_id: str) -> bool:
    return office.redis.zscore(list_of("orders", "open"), task_id) is not None


def test_a_task_whose_message_was_purged_is_done_once(office: Office) -> None:
    task_id, job = lost_on_the_way(office), Counting()
    with office.working(job, quiet_s=QUIET_S):
        task = office.reaches(task_id, "succeeded")
        assert (task.attempt, job.runs) == (1, [task_id])
        eventually(lambda: not is_open(office, task_id))
    assert office.redis.xlen(OUTBOX) == 0


@pytest.mark.slow
def test_when_the_broker_comes_back_without_its_data_everything_open_is_done_once(
    redis_ledger: str, own_rabbit: Callable[..., RabbitServer], tmp_path: Path
) -> None:
    """Its worker dies with it: one task was at work, and twenty waited."""
    broker, begun, job = own_rabbit(), tmp_path / "begun", Counting()
    office = Office(redis_ledger, broker, tmp_path)
    worker = office.worker()
    try:
        running = office.submit(f"slow-once:60:{begun}")
        eventually(begun.exists, 20)
        waiting = [office.submit() for _ in range(20)]
        eventually(lambda: office.redis.xlen(OUTBOX) == 0)
        broker.kill()
        os.kill(worker.pid, signal.SIGKILL)
    finally:
        worker.kill()
        worker.wait()
    broker.lose_data()
    broker.start()
    assert broker.depth("orders.tasks") == 0
    office.end_turn()
    with office.working(job, jobs=4, quiet_s=QUIET_S):
        for task_id in [running, *waiting]:
            office.reaches(task_id, "succeeded", 30)
    assert sorted(job.runs) == sorted([running, *waiting])
    assert office.task(running).attempt == 2


def test_a_copy_of_a_message_that_is_there_after_all_changes_nothing(office: Office) -> None:
    job, task_id = Counting(), office.submit()
    with office.relaying():
        eventually(lambda: office.rabbit.depth("orders.tasks") == 1)
        reminder = office.reminder(quiet_s=0.1)
        eventually(reminder.step)
        eventually(lambda: office.rabbit.depth("orders.tasks") == 2)
    with office.working(job, jobs=2):
        office.reaches(task_id, "succeeded")
        eventually(lambda: office.rabbit.depth("orders.tasks") == 0)
        office.reaches(last := office.submit(), "succeeded")
    assert job.runs == [task_id, last]
    assert len(office.letters) == 0


def test_a_task_is_asked_for_once_also_by_several_reminders_and_less_and_less_often(office: Office) -> None:
    task_id = lost_on_the_way(office)
    reminders = [office.reminder(0.5) for _ in range(3)]
    eventually(lambda: [again for each in reminders for again in each.step()] == [task_id])
    assert office.redis.xlen(OUTBOX) == 1
    assert [each.step() for each in reminders] == [[], [], []]
    office.redis.xtrim(OUTBOX, 0)
    ((_, first),) = open_tasks(office)
    eventually(lambda: reminders[0].step() == [task_id])
    ((_, second),) = open_tasks(office)
    assert second - first > 900, "the pause is as long as the task has been open"


def open_tasks(office: Office) -> list[Any]:
    found: Any = office.redis.zrange(list_of("orders", "open"), 0, -1, withscores=True)
    return list(found)


def test_what_stands_in_the_outbox_or_is_heard_of_is_not_asked_for(office: Office) -> None:
    reminder, task_id = office.reminder(0.3), office.submit()
    leases = Leases("orders", office.redis, lease_s=0.2)
    eventually(lambda: open_tasks(office)[0][1] < office.task(task_id).created_ms + 1_000)
    threading.Event().wait(0.5)
    assert reminder.step() == []
    office.redis.xtrim(OUTBOX, 0)
    lease: Any = leases.take(task_id)
    assert isinstance(lease, Lease)
    for _ in range(6):
        lease.renew()
        assert reminder.step() == []
        threading.Event().wait(0.1)
    lease.give_back("attempt 1 failed", counted=True)
    assert reminder.step() == [], "it was heard of just now"
    eventually(lambda: reminder.step() == [task_id])


def test_tasks_that_are_over_are_forgotten_and_never_asked_for(office: Office) -> None:
    reminder, leases = office.reminder(0.01), Leases("orders", office.redis)
    done, unwanted, gone = (office.submit() for _ in range(3))
    lease: Any = leases.take(done)
    assert lease.succeed("/done", "done", "")
    office.tasks.cancel(CUSTOMER, unwanted)
    office.redis.delete(keys.own("orders", "task", gone))
    office.redis.xtrim(OUTBOX, 0)
    eventually(lambda: reminder.step() == [] and open_tasks(office) == [])
    assert office.redis.xlen(OUTBOX) == 0


def test_a_replayed_task_whose_message_is_lost_again_is_asked_for_as_it_was_mended(office: Office) -> None:
    def poison(message: MakeInvoice, work: Work) -> Done:
        if message.order_id == "bad":
            raise RuntimeError("out of ink")
        return paper(message, work)

    with office.working(poison):
        task_id = office.submit("bad")
        office.reaches(task_id, "failed")
        eventually(lambda: len(office.letters) == 1)
    (letter,) = office.letters.page()
    mended = letter.fields["data"].replace("bad", "good")
    assert office.letters.replay(letter.id, {"data": mended})
    with working("orders", make_handlers(checkout), office.settings):
        office.reaches(task_id, "queued")
    office.redis.xtrim(OUTBOX, 0)
    with office.working(poison, quiet_s=QUIET_S):
        assert office.reaches(task_id, "succeeded").attempt == 1
