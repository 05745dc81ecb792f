"""The audit counts what is not in a service's streams: tasks, jobs, what lies on RabbitMQ and in its workers' hands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from sagashop import keys
from sagashop.audit.auditor import Auditor
from sagashop.audit.elsewhere import Elsewhere, Queues, Unroutable
from sagashop.audit.facts import Check, to_lines
from sagashop.audit.house import FAILED_JOBS, FAILED_TASKS, House
from sagashop.audit.receipts import Receipts
from sagashop.effects import Effects
from sagashop.jobs.audit import JobsUnderWay
from sagashop.jobs.queue import JobQueue
from sagashop.rabbit.layout import UNROUTABLE, work_exchange, work_queue
from sagashop.rabbit.publisher import Outgoing, Publisher
from sagashop.rabbit.topology import declare
from sagashop.settings import Settings
from sagashop.streams.bus import RedisBus
from sagashop.tasks.audit import TasksUnderWay
from sagashop.tasks.lease import Lease, Leases
from sagashop.tasks.task import TaskMessage, cancelled, opened, task_from, task_key
from tests.integration.rabbit_toy import RabbitToy
from tests.integration.rigs import sealed
from tests.integration.toy import Count, News
from tests.rabbit import RabbitServer
from tests.servers import RedisServer, eventually, free_port

pytestmark = pytest.mark.feature("F42")


class Paint(TaskMessage):
    channel: ClassVar[str] = "toy.paint"


@pytest.fixture
def toy(rabbit_server: RabbitServer, redis_ledger: str) -> Iterator[RabbitToy]:
    made = RabbitToy(rabbit_server, redis_ledger)
    yield made
    made.close()


def tell(toy: RabbitToy, event: News) -> None:
    """By its own producer, into its own stream."""
    (envelope,) = sealed([event])
    fields: Any = envelope.fields()
    toy.redis.xadd(keys.stream(event.channel), fields)


def check(place: Elsewhere, name: str) -> Check:
    return next(each for each in place.checks("toy") if each.name == name)


def test_an_event_counts_until_it_is_committed_wherever_it_is(toy: RabbitToy) -> None:
    receipts, name = Receipts("toy", toy.redis, toy.topology), "every event that it hears is committed"
    worker = toy.worker()
    tell(toy, News("a"))
    assert receipts.waiting() == 1, "at its relay"
    toy.relay()
    eventually(lambda: toy.waiting() == 0)  # its consumer has fetched it
    assert (receipts.waiting(), check(receipts, name).wrong) == (1, 1), "in the worker's hands"
    assert check(receipts, name).examples == list(receipts.missing())
    eventually(lambda: worker.step(50))
    assert (receipts.waiting(), check(receipts, name).wrong) == (0, 0)
    toy.tell(Count("a"))  # a command is none of its events
    assert receipts.waiting() == 0


def test_an_event_that_nobody_can_handle_counts_until_it_is_a_dead_letter(toy: RabbitToy) -> None:
    receipts, worker = Receipts("toy", toy.redis, toy.topology), toy.worker()
    tell(toy, News("a", "no number"))  # type: ignore[arg-type]
    toy.relay()
    seen = set[int]()
    while not len(toy.letters):
        seen.add(receipts.waiting())
        worker.step(20)
    assert seen == {1}
    assert receipts.waiting() == 0


def test_what_was_heard_on_the_other_bus_needs_no_receipt(toy: RabbitToy) -> None:
    tell(toy, News("a"))
    assert Receipts("toy", toy.redis, toy.topology).waiting() == 1
    toy.redis.set(keys.moved("toy"), int(time.time() * 1000) + 1)
    assert Receipts("toy", toy.redis, toy.topology).waiting() == 0


def test_messages_that_lie_on_rabbitmq_are_counted_in_every_queue_of_the_service(rabbit_server: RabbitServer) -> None:
    part = work_queue("toy", "paint")
    declare(rabbit_server.url(), "test", part)
    place = Queues("toy", rabbit_server.url(), part)
    assert place.waiting() == 0
    with rabbit_server.channel() as channel:
        for queue in ("toy.paint", "toy.paint.retry.125s", "toy.dead"):
            channel.basic_publish(work_exchange("toy"), queue, b"{}")
        eventually(lambda: place.waiting() == 3)
        found = check(place, "nothing waits on RabbitMQ")
        assert (found.looked_at, found.wrong) == (len(part.queues), 3)
        assert "toy.paint.retry.125s: 1 messages" in found.examples
        for each in part.queues:
            channel.queue_delete(each.name)
    assert place.waiting() == 0, "a queue that is not there holds nothing"


def test_a_message_with_a_wrong_key_is_confirmed_and_the_audit_fails_until_it_is_gone(
    rabbit_server: RabbitServer, redis_ledger: str, ledger_server: RedisServer
) -> None:
    name = "RabbitMQ: nothing is unroutable"
    place = Unroutable("orders", rabbit_server.url("orders"))  # as itself: it may not read there
    rabbit_server.purge([UNROUTABLE])
    with ledger_server.client() as redis:
        house = House("orders", redis, [], elsewhere=[place])

        def get(path: str) -> bytes:
            return msgspec.json.encode(house.open_work()) if "open" in path else b"".join(to_lines(house.facts()))

        def wrong() -> list[str]:
            return [each.name for each in Auditor(get, ["orders"]).report().wrong]

        assert wrong() == []
        publisher = Publisher(rabbit_server.url("fulfillment"), "test")
        publisher.publish([Outgoing(work_exchange("fulfillment"), "fulfillment.bookings", b"{}")])  # raises nothing
        publisher.close()
        eventually(lambda: wrong() == [name])
        assert check(place, name).examples == [f"{UNROUTABLE}: 1 messages"]
        assert (place.waiting(), house.open_work().quiet) == (0, True), "an audit does not wait for it"
        rabbit_server.purge([UNROUTABLE])
        eventually(lambda: wrong() == [])


def test_an_absent_rabbitmq_is_told_and_not_waited_for(redis_ledger: str, ledger_server: RedisServer) -> None:
    place = Queues("toy", f"amqp://127.0.0.1:{free_port()}/", work_queue("toy", "paint"))
    with ledger_server.client() as redis:
        house = House("toy", redis, [], elsewhere=[place])
        began = time.monotonic()
        work = house.open_work()
        (found,) = [fact for fact in house.facts() if isinstance(fact, Check) and fact.wrong]
    assert time.monotonic() - began < 3
    assert not work.quiet
    assert work.unknown[0].startswith("messages on RabbitMQ: cannot reach rabbitmq")
    assert found.examples[0].startswith("what waits there is not known: cannot reach rabbitmq")


def test_tasks_count_while_they_are_open_and_are_shown_when_they_failed(redis_ledger: str) -> None:
    bus = RedisBus(Settings(redis_ledger_url=redis_ledger))
    leases = Leases("toy", bus.redis)
    place = TasksUnderWay("toy", bus.redis)

    def told(*wanted: Effects) -> int:
        for each in wanted:
            bus.admit("toy", each)
        return place.waiting()

    assert told(*(opened("toy", Paint(task_id=task), "me") for task in ("a", "b", "c"))) == 3
    one, two = leases.take("a"), leases.take("b")
    assert isinstance(one, Lease)
    assert isinstance(two, Lease)
    assert place.waiting() == 3
    assert one.give_back("again", counted=True)
    assert place.waiting() == 3
    assert check(place, "every task is over").examples[0] == "Paint a is queued: again"
    again = leases.take("a")
    assert isinstance(again, Lease)
    assert again.succeed("here", "a-1", "")
    assert two.fail("no paint")
    third = task_from("c", bus.load([key := task_key("toy", "c")])[key])
    assert third
    assert told(cancelled("toy", third)) == 0
    assert check(place, "every task is over").wrong == 0
    failed = check(place, FAILED_TASKS)
    assert (failed.wrong, failed.examples) == (1, ["Paint b: no paint"])
    bus.redis.delete(task_key("toy", "b"))
    assert check(place, FAILED_TASKS).wrong == 0, "what has expired is forgotten"


def test_jobs_count_until_they_are_done_and_are_shown_when_they_failed(ledger_server: RedisServer) -> None:
    with _empty(ledger_server) as redis:
        queue = JobQueue("toy", redis)
        place = JobsUnderWay(queue)
        queue.enqueue("letter", "{}", id="one")
        assert (place.waiting(), check(place, "every job is done").wrong) == (1, 1)
        redis.rename(queue.keys.waiting["normal"], queue.keys.failed)
        assert (place.waiting(), check(place, "every job is done").wrong) == (0, 0)
        failed = check(place, FAILED_JOBS)
        assert (failed.wrong, failed.examples) == (1, ["letter one: "])


@contextmanager
def _empty(server: RedisServer) -> Iterator[Any]:
    with server.client() as redis:
        redis.flushall()
        yield redis


def test_failed_tasks_and_jobs_are_held_against_the_shop_unless_they_are_allowed(ledger_server: RedisServer) -> None:
    with _empty(ledger_server) as redis:
        queue = JobQueue("toy", redis)
        queue.enqueue("letter", "{}", id="one")
        redis.rename(queue.keys.waiting["normal"], queue.keys.failed)
        house = House("toy", redis, [], elsewhere=[JobsUnderWay(queue)])

        def get(path: str) -> bytes:
            return msgspec.json.encode(house.open_work()) if "open" in path else b"".join(to_lines(house.facts()))

        auditor = Auditor(get, ["toy"])
        assert [each.name for each in auditor.report().wrong] == [FAILED_JOBS]
        assert not auditor.report(allow_dead_letters=1).ok
        assert auditor.report(allow_failed=1).ok


@pytest.mark.slow
def test_a_frozen_rabbitmq_is_told_within_some_seconds(own_rabbit: Callable[..., RabbitServer]) -> None:
    server = own_rabbit()
    place = Queues("toy", server.url(), work_queue("toy", "paint"))
    assert place.waiting() == 0
    with server.frozen():
        began = time.monotonic()
        (found,) = place.checks("toy")
        took_s = time.monotonic() - began
    assert (found.wrong, took_s < 10) == (1, True)
    assert "what waits there is not known" in found.examples[0]
