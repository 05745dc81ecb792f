"""Long work off the request path, on a real RabbitMQ: it survives its workers, its broker and its own slowness."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sagashop import keys
from sagashop.messages import new_id
from sagashop.rabbit.consumer import Received
from sagashop.rabbit.layout import work_exchange
from sagashop.rabbit.publisher import Outgoing, Publisher
from sagashop.tasks.burial import TOLD
from sagashop.tasks.desk import BadTaskKey, NoTask, TaskKeyReused
from sagashop.tasks.lease import Lease, Leases, Lost
from sagashop.tasks.runner import Done, Runner, Work
from sagashop.tasks.task import OPERATORS
from sagashop.web.auth import Who
from services.orders.handlers import make_handlers
from services.orders.messages import MakeInvoice
from services.orders.saga import checkout
from tests.integration.rigs import working
from tests.integration.tasks_world import Office, by_name, paper, running
from tests.rabbit import RabbitServer
from tests.servers import eventually

CUSTOMER, OPERATOR = Who("c1", "customer", "Demo"), Who("op", "operator", "Operator")
OUTBOX = keys.stream("orders.tasks")


@pytest.fixture
def office(redis_ledger: str, rabbit_server: RabbitServer, tmp_path: Path) -> Iterator[Office]:
    yield Office(redis_ledger, rabbit_server, tmp_path)
    with rabbit_server.channel() as channel:
        for queue in ("orders.tasks", "orders.dead"):
            channel.queue_purge(queue)


@pytest.mark.feature("F43")
def test_a_task_goes_from_the_outbox_to_its_result(office: Office) -> None:
    task_id = office.submit()
    assert (office.task(task_id).status, office.redis.xlen(OUTBOX)) == ("queued", 1)
    with office.working(paper):
        task = office.reaches(task_id, "succeeded")
    assert (task.progress, task.note, task.attempt, task.result) == (100, "written", 1, f"/{task_id}")
    assert office.text(task_id).startswith(b"paper ")
    assert office.redis.xlen(OUTBOX) == 0, "what the broker has confirmed leaves the outbox"
    assert 0 < office.redis.ttl(keys.own("orders", "task", task_id)) <= 86_400


@pytest.mark.feature("F43")
def test_a_key_finds_its_task_again_and_refuses_another_request(office: Office) -> None:
    first = office.submit("o1", key="k1")
    assert office.submit("o1", key="k1") == first
    assert office.submit("o1", owner="c2", key="k1") != first, "a key belongs to one owner"
    with pytest.raises(TaskKeyReused):
        office.submit("o2", key="k1")
    with pytest.raises(BadTaskKey):
        office.submit("o1", key="\n")
    assert office.redis.xlen(OUTBOX) == 2


def test_only_the_owner_sees_a_task_and_every_operator_what_is_the_operators(office: Office) -> None:
    mine, reports = office.submit(), office.submit(owner=OPERATORS)
    assert office.tasks.seen_by(CUSTOMER, mine).task_id == mine
    assert office.tasks.seen_by(OPERATOR, reports).task_id == reports
    for who, task_id in ((OPERATOR, mine), (CUSTOMER, reports), (Who("c2", "customer", ""), mine), (CUSTOMER, "none")):
        with pytest.raises(NoTask):
            office.tasks.seen_by(who, task_id)


@pytest.mark.feature("F43")
def test_a_worker_killed_in_the_middle_is_replaced_and_there_is_one_result(office: Office, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    first, second = office.worker(), office.worker()
    try:
        task_id = office.submit(f"slow-once:60:{begun}")
        eventually(begun.exists, 20)
        eventually(lambda: office.task(task_id).progress == 50)
        os.kill(int(begun.read_text()), signal.SIGKILL)
        task = office.reaches(task_id, "succeeded", 30)
        assert task.attempt == 2
        assert office.text(task_id).startswith(b"paper ")
        with office.documents._engine.connect() as conn:
            assert conn.exec_driver_sql("SELECT count(*) FROM documents").scalar() == 1
    finally:
        for each in (first, second):
            each.kill()
            each.wait()


@pytest.mark.slow
@pytest.mark.feature("F43")
def test_while_the_broker_is_away_tasks_are_taken_at_once_and_done_when_it_is_back(
    redis_ledger: str, own_rabbit: Callable[..., RabbitServer], tmp_path: Path
) -> None:
    broker = own_rabbit()
    office = Office(redis_ledger, broker, tmp_path)
    with office.working(paper):
        office.reaches(office.submit(), "succeeded")
        broker.kill()
        began = time.monotonic()
        waiting = [office.submit() for _ in range(20)]
        assert (time.monotonic() - began) / 20 < 0.05
        assert {office.task(task_id).status for task_id in waiting} == {"queued"}
        broker.start()
        for task_id in waiting:
            office.reaches(task_id, "succeeded", 30)


@pytest.mark.slow
@pytest.mark.feature("F43")
def test_a_job_outlives_heartbeats_and_the_brokers_patience(
    redis_ledger: str, own_rabbit: Callable[..., RabbitServer], tmp_path: Path
) -> None:
    """The broker closes the channel of a consumer that has not answered within 2 s, and looks every 1 s (4.x: 60 s)."""
    settings = "{consumer_timeout, 2000}, {channel_tick_interval, 1000}"
    office = Office(redis_ledger, own_rabbit(settings), tmp_path, query="?heartbeat=2")
    runs = []

    def slow(message: MakeInvoice, work: Work) -> Done:
        runs.append(message.task_id)
        return by_name(message, work)

    with office.working(slow), capture_logs() as logs:
        task_id = office.submit("slow:9")
        task = office.reaches(task_id, "succeeded", 30)
        assert [line for line in logs if line["event"] == "consumer.channel_closed"], "the broker lost its patience"
        assert (task.attempt, runs) == (1, [task_id])
        eventually(lambda: office.rabbit.depth("orders.tasks") == 0, 20)
        other = office.submit()
        office.reaches(other, "succeeded")
    assert runs == [task_id, other], "the copy that came again was recognised as done"


@pytest.mark.feature("F43")
def test_a_queued_task_that_is_cancelled_never_runs(office: Office) -> None:
    ran, task_id = [], office.submit("unwanted")
    assert office.tasks.cancel(CUSTOMER, task_id).status == "cancelled"
    assert office.tasks.cancel(CUSTOMER, task_id).status == "cancelled", "twice is once"

    def note(message: MakeInvoice, work: Work) -> Done:
        ran.append(message.order_id)
        return paper(message, work)

    with office.working(note):
        office.reaches(office.submit("wanted"), "succeeded")
    assert ran == ["wanted"]
    assert office.task(task_id).status == "cancelled"


@pytest.mark.feature("F43")
def test_a_running_task_that_is_cancelled_stops_and_leaves_nothing(office: Office) -> None:
    stopped = threading.Event()

    def watched(message: MakeInvoice, work: Work) -> Done:
        try:
            return by_name(message, work)
        except Lost:
            stopped.set()
            raise

    with office.working(watched):
        task_id = office.submit("slow:60")
        eventually(lambda: office.task(task_id).progress == 50)
        office.tasks.cancel(CUSTOMER, task_id)
        assert stopped.wait(5)
        office.reaches(office.submit(), "succeeded")
    task = office.task(task_id)
    assert (task.status, task.document, task.result) == ("cancelled", "", None)


def test_a_result_that_comes_after_the_cancellation_is_dropped(office: Office) -> None:
    written, go_on = threading.Event(), threading.Event()

    def deaf(message: MakeInvoice, work: Work) -> Done:
        done = paper(message, work)
        written.set()
        go_on.wait(10)
        return done

    with office.working(deaf):
        task_id = office.submit()
        assert written.wait(10)
        office.tasks.cancel(CUSTOMER, task_id)
        go_on.set()
        eventually(lambda: office.documents.find(f"{task_id}-1") is None)
    assert office.task(task_id).status == "cancelled"


def test_a_task_that_can_never_succeed_fails_with_its_reason_and_is_no_dead_letter(office: Office) -> None:
    with office.working(by_name):
        task = office.reaches(office.submit("hopeless"), "failed")
        assert task.reason == "there is nothing to write on"
        eventually(lambda: office.rabbit.depth("orders.tasks") == 0)
    assert len(office.letters) == 0


@pytest.mark.feature("F43")
@pytest.mark.feature("F14")
def test_a_poison_task_becomes_a_dead_letter_and_succeeds_when_it_is_replayed(office: Office) -> None:
    mended = threading.Event()

    def poison(message: MakeInvoice, work: Work) -> Done:
        if not mended.is_set():
            raise RuntimeError("out of ink")
        return paper(message, work)

    with office.working(poison), working("orders", make_handlers(checkout), office.settings):
        task_id = office.submit()
        eventually(lambda: len(office.letters) == 1, 20)
        (letter,) = office.letters.page()
        assert (letter.source, letter.reason, letter.attempts) == ("orders.tasks", "RuntimeError: out of ink", 2)
        assert letter.fields["type"] == "MakeInvoice"
        assert "out of ink" in letter.traceback
        task = office.task(task_id)
        assert (task.status, task.reason) == ("failed", TOLD), "and nothing of our code"
        mended.set()
        assert office.letters.replay(letter.id)
        office.reaches(task_id, "succeeded")
    assert len(office.letters) == 0


@pytest.mark.slow
@pytest.mark.feature("F43")
def test_a_message_that_kills_its_worker_every_time_ends_among_the_dead_letters(office: Office) -> None:
    """No worker lives long enough to fail, so attempts are counted before the job begins."""
    task_id = office.submit("die")
    ends = time.monotonic() + 60
    while not len(office.letters):
        worker = office.worker()
        while worker.poll() is None and not len(office.letters):
            assert time.monotonic() < ends, office.task(task_id)
            time.sleep(0.05)
        worker.kill()
        worker.wait()
    assert office.task(task_id).status == "failed"
    assert "given up after 5 attempts" in office.letters.page()[0].reason


@pytest.mark.feature("F43")
def test_a_task_that_takes_too_long_is_broken_off_and_tried_again(office: Office, tmp_path: Path) -> None:
    with office.restarting(timeout_s=0.5) as ended:
        task_id = office.submit(f"slow-once:60:{tmp_path / 'begun'}")
        broken_off = ("queued", "attempt 1 took longer than 0.5 s")
        eventually(lambda: ((now := office.task(task_id)).status, now.note) == broken_off, 20)
        assert office.reaches(task_id, "succeeded").attempt == 2
    assert ended == [70], "a job cannot be ended without its process"


def test_what_runs_beside_a_task_that_takes_too_long_waits_for_the_next_worker(office: Office) -> None:
    go_on, died = threading.Event(), threading.Event()

    def job(message: MakeInvoice, work: Work) -> Done:
        go_on.wait(20)
        return paper(message, work)

    leases = Leases("orders", office.redis, lease_s=0.4)
    runner = Runner(leases, office.documents, {MakeInvoice: job}, timeout_s=100, link=str)

    def begin() -> str:
        task_id = office.submit()
        received = Received(body=office.sent(task_id), id=task_id, type="", key="", headers={}, attempt=1, returns=0)
        stack.enter_context(running(lambda _: runner.handle(received)))
        office.reaches(task_id, "running")
        return task_id

    with ExitStack() as stack:
        first = begin()
        (lease,) = runner._running
        runner._running[lease] -= 100
        second = begin()
        runner.tend(threading.Event(), died.set)
        assert died.is_set()
        tasks = [office.task(each) for each in (first, second)]
        go_on.set()
    assert [(task.status, task.attempt) for task in tasks] == [("queued", 1)] * 2
    assert tasks[0].note == "attempt 1 took longer than 100 s"
    assert tasks[1].note == "attempt 1 was broken off: its worker had to be restarted"
    assert {office.task(each).status for each in (first, second)} == {"queued"}, "what it made too late is dropped"
    assert office.documents.find(f"{second}-1") is None


@pytest.mark.slow
@pytest.mark.feature("F43")
def test_a_task_that_takes_too_long_every_time_fails_with_the_reason_and_the_others_are_done(office: Office) -> None:
    with office.restarting(timeout_s=0.5) as ended:
        hanging, other = office.submit("hang"), office.submit()
        failed = office.reaches(hanging, "failed", 60)
        assert failed.reason == TOLD
        office.reaches(other, "succeeded")
        office.reaches(office.submit(), "succeeded")
    (letter,) = office.letters.page()
    assert letter.reason.startswith("given up after 5 attempts")
    assert letter.reason.endswith("last heard: attempt 5 took longer than 0.5 s")
    assert ended == [70] * 5


def test_what_nobody_can_read_is_one_dead_letter_however_often_it_comes(office: Office) -> None:
    publisher, same = Publisher(office.settings.rabbitmq_url, "test"), new_id()
    with office.working(paper):
        publisher.publish([Outgoing(work_exchange("orders"), "orders.tasks", b"\xff not json", id=same)] * 2)
        eventually(lambda: len(office.letters) >= 1)
        eventually(lambda: office.rabbit.depth("orders.dead") + office.rabbit.depth("orders.tasks") == 0)
        office.reaches(office.submit(), "succeeded")
    publisher.close()
    (letter,) = office.letters.page()
    assert letter.reason.startswith("malformed")
    assert office.letters.discard(letter.id)


def test_only_the_holder_of_the_lease_writes(office: Office) -> None:
    leases, task_id = Leases("orders", office.redis, lease_s=0.3), office.submit()
    zombie: Any = leases.take(task_id)
    assert isinstance(zombie, Lease)
    assert leases.take(task_id) == "held"
    heir: Any = eventually(lambda: isinstance(found := leases.take(task_id), Lease) and found)
    assert heir.attempt == 2
    with pytest.raises(Lost):
        zombie.progress(90)
    assert not zombie.succeed("/mine", "mine", "")
    assert not zombie.give_back("oops", counted=True)
    assert heir.succeed("/theirs", "theirs", "")
    assert not heir.succeed("/again", "again", "")
    assert (office.task(task_id).result, leases.take(task_id), leases.take("none")) == ("/theirs", "succeeded", "gone")


def test_two_relays_take_turns_and_lose_nothing(office: Office) -> None:
    one, other = office.relay(), office.relay()
    office.submit()
    assert one.step(10) == 1
    office.submit()
    assert other.step(10) is None, "the first one holds the lease"
    assert one.step(10) == 1
    office.redis.delete(keys.own("orders", "relay", "orders.tasks"))
    office.submit()
    assert other.step(10) == 1
    assert office.redis.xlen(OUTBOX) == 0
    assert eventually(lambda: office.rabbit.depth("orders.tasks") == 3)


def test_documents_come_back_as_they_were_and_go_when_their_time_is_over(office: Office) -> None:
    documents = office.documents
    large = os.urandom(700_000)
    documents.write("d1", "large.bin", "application/octet-stream", iter([large[:5], large[5:]]))
    assert b"".join(documents.read("d1")) == large
    documents.write("d1", "small.bin", "application/octet-stream", iter([b""]))
    found = documents.find("d1")
    assert found is not None
    assert (found.name, found.size, b"".join(documents.read("d1"))) == ("small.bin", 0, b"")
    assert documents.sweep() == 0
    type(documents)(documents._engine, keep_s=-1).write("d2", "old.bin", "text/plain", iter([b"x"]))
    assert documents.sweep() == 1
    assert documents.find("d2") is None
    assert documents.find("d1") is not None
