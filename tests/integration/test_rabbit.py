"""Publishing, consuming and declaring on a real RabbitMQ."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sagashop.errors import NotReachable
from sagashop.messages import new_id
from sagashop.rabbit.consumer import Consumer, GiveUp, Handle, Later, Received
from sagashop.rabbit.layout import dead_queue, delay_queue, work_exchange, work_queue
from sagashop.rabbit.publisher import NotTaken, Outgoing, Publisher
from sagashop.rabbit.topology import Exchange, Mismatch, Queue, Topology, declare, declare_all
from tests.rabbit import RabbitServer
from tests.servers import eventually

Brokers = Callable[..., RabbitServer]
STEPS_S = (1, 2)


class Bench:
    """A service of its own with one work queue, as admin."""

    def __init__(self, server: RabbitServer, query: str = "", delivery_limit: int = 20) -> None:
        self.server, self.url, self.service = server, server.url(query=query), f"t{new_id()[:8]}"
        self.topology = work_queue(self.service, "jobs", steps_s=STEPS_S, delivery_limit=delivery_limit)
        self.queue, self.dead = f"{self.service}.jobs", dead_queue(self.service)
        declare(self.url, "test", self.topology)
        self.publisher = Publisher(self.url, "test")

    def message(self, body: bytes = b"{}", key: str = "") -> Outgoing:
        return Outgoing(work_exchange(self.service), key or self.queue, body)

    def send(self, *bodies: bytes) -> None:
        self.publisher.publish([self.message(body) for body in bodies])

    @contextmanager
    def consuming(self, handle: Handle, jobs: int = 1) -> Iterator[None]:
        consumer = Consumer(self.url, self.service, "jobs", handle, topology=self.topology, jobs=jobs, steps_s=STEPS_S)
        stopping = threading.Event()
        thread = threading.Thread(target=consumer.run, args=(stopping,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join(20)
            assert not thread.is_alive()

    def close(self) -> None:
        self.publisher.close()
        with suppress(Exception), self.server.channel() as channel:
            for queue in self.topology.queues:
                channel.queue_delete(queue.name)
            for exchange in self.topology.exchanges:
                channel.exchange_delete(exchange.name)


@pytest.fixture
def bench(rabbit_server: RabbitServer) -> Iterator[Bench]:
    made = Bench(rabbit_server)
    yield made
    made.close()


@pytest.mark.feature("F42")
def test_what_publish_returned_for_is_in_the_queue_and_windows_are_fast(bench: Bench) -> None:
    began = time.monotonic()
    bench.send(*([b"x" * 100] * 5_000))
    assert time.monotonic() - began < 2.5, "2,000 messages a second are no windows"
    eventually(lambda: bench.server.depth(bench.queue) == 5_000)


@pytest.mark.feature("F42")
def test_a_message_that_reaches_no_queue_is_told_and_the_others_are_safe(bench: Bench) -> None:
    lost = Outgoing("sagashop.events", "nobody.hears.This", b"")
    with pytest.raises(NotTaken) as told:
        bench.publisher.publish([bench.message(), lost, bench.message()])
    assert (told.value.unroutable, told.value.refused) == ([lost], [])
    eventually(lambda: bench.server.depth(bench.queue) == 2)


def test_a_wrong_key_on_a_services_exchange_is_kept_to_be_looked_at(bench: Bench) -> None:
    before = bench.server.depth("sagashop.unroutable")
    bench.publisher.publish([bench.message(key="mistyped")])
    eventually(lambda: bench.server.depth("sagashop.unroutable") == before + 1)


def test_a_full_queue_refuses_and_the_caller_hears_of_it(bench: Bench) -> None:
    small = f"{bench.service}.small"
    declare(bench.url, "test", Topology(queues=(Queue(small, max_length=3),)))
    refused = list[Outgoing]()
    for _ in range(20):  # the limit of a quorum queue is soft by a few messages
        try:
            bench.publisher.publish([Outgoing("", small, b"")])
        except NotTaken as told:
            refused += told.refused
    assert len(refused) >= 10
    with bench.server.channel() as channel:
        channel.queue_delete(small)


def test_an_exchange_that_is_not_there_fails_its_messages_and_the_publisher_goes_on(bench: Bench) -> None:
    with pytest.raises(NotReachable, match="no exchange 'nowhere'"):
        bench.publisher.publish([Outgoing("nowhere", "", b"")])
    bench.send(b"{}")
    eventually(lambda: bench.server.depth(bench.queue) == 1)


def test_many_threads_share_a_publisher(bench: Bench) -> None:
    threads = [threading.Thread(target=bench.send, args=[b"x"] * 200) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    eventually(lambda: bench.server.depth(bench.queue) == 1_000)


def test_a_broker_that_is_not_there_is_named_with_what_to_do() -> None:
    publisher = Publisher("amqp://user:hidden@127.0.0.1:1/", "test")
    with pytest.raises(NotReachable, match=r"rabbitmq at 127.0.0.1:1 \(connection refused\)(.|\n)*make up") as told:
        publisher.publish([Outgoing("", "q", b"")], timeout_s=0.5)
    publisher.close()
    assert "hidden" not in str(told.value)


def test_declaring_again_changes_nothing_and_a_difference_is_explained(bench: Bench) -> None:
    declare(bench.url, "test", bench.topology)
    other = Queue(
        bench.queue, dead_letter_to=work_exchange(bench.service), dead_letter_key=bench.dead, delivery_limit=5
    )
    fanout = Exchange(work_exchange(bench.service), "fanout", alternate="sagashop.unroutable")
    fresh = Queue(f"{bench.service}.fresh")
    with pytest.raises(Mismatch) as told:
        declare(bench.url, "test", Topology(exchanges=(fanout,), queues=(other, fresh)))
    assert f"queue {bench.queue}: its x-delivery-limit is 20, and the code wants 5" in str(told.value)
    assert "its type is direct, and the code wants fanout" in str(told.value)
    assert bench.server.depth(fresh.name) == 0, "the rest is declared all the same"
    with bench.server.channel() as channel:
        channel.queue_delete(fresh.name)


def test_many_parts_are_declared_over_several_connections_and_a_difference_holds_up_none(
    rabbit_server: RabbitServer,
) -> None:
    url, prefix = rabbit_server.url(), new_id()
    names = [f"{prefix}.{number}" for number in range(60)]
    declare(url, "test", Topology(queues=(Queue(names[0], kind="classic", max_length=1),)))
    try:
        with pytest.raises(Mismatch, match=f"queue {names[0]}: its x-max-length is 1, and the code wants 5"):
            declare_all(url, "test", [Topology(queues=(Queue(name, kind="classic", max_length=5),)) for name in names])
        assert [rabbit_server.depth(name) for name in names] == [0] * 60
        declare_all(url, "test", [])
    finally:
        with rabbit_server.channel() as channel:
            for name in names:
                channel.queue_delete(name)


@pytest.mark.feature("F43")
def test_a_job_is_acknowledged_when_it_is_done(bench: Bench) -> None:
    done = list[bytes]()
    bench.send(b"1", b"2", b"3")
    with bench.consuming(lambda job: done.append(job.body)):
        eventually(lambda: len(done) == 3)
    assert done == [b"1", b"2", b"3"]
    assert bench.server.depth(bench.queue) == 0


@pytest.mark.feature("F43")
def test_a_consumer_takes_no_more_messages_than_it_has_jobs_and_leaves_the_others_to_others(bench: Bench) -> None:
    busy, done, go_on = list[bytes](), list[bytes](), threading.Event()

    def wait(job: Received) -> None:
        busy.append(job.body)
        go_on.wait(20)

    bench.send(*(b"%d" % number for number in range(6)))
    try:
        with bench.consuming(wait, jobs=2):
            eventually(lambda: len(busy) == 2)
            with bench.consuming(lambda job: done.append(job.body)):
                eventually(lambda: len(done) == 4)
            assert sorted(busy + done) == [b"%d" % number for number in range(6)]
            go_on.set()
    finally:
        go_on.set()
    assert bench.server.depth(bench.queue) == 0


@pytest.mark.feature("F43")
def test_a_job_that_fails_comes_again_after_each_pause_and_then_is_a_dead_letter(bench: Bench) -> None:
    tries = list[tuple[int, float]]()

    def fail(job: Received) -> None:
        tries.append((job.attempt, time.monotonic()))
        raise ArithmeticError("it does not add up")

    bench.send(b"{}")
    with bench.consuming(fail):
        eventually(lambda: bench.server.depth(bench.dead) == 1)
    assert [attempt for attempt, _ in tries] == [1, 2, 3]
    pauses = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(tries)]
    assert pauses[0] >= 1
    assert pauses[1] >= 2
    with bench.server.channel() as channel:
        _, properties, _ = channel.basic_get(bench.dead, auto_ack=True)
    headers = properties.headers
    assert (headers["reason"], headers["source"]) == ("ArithmeticError: it does not add up", bench.queue)
    assert "in fail" in headers["traceback"]


@pytest.mark.feature("F43")
def test_a_job_may_give_up_at_once_or_ask_for_later_without_using_up_its_attempts(bench: Bench) -> None:
    seen = list[tuple[bytes, int]]()

    def choose(job: Received) -> None:
        seen.append((job.body, job.attempt))
        if job.body == b"hopeless":
            raise GiveUp("no use")
        if len(seen) < 3:
            raise Later("somebody is at it")

    bench.send(b"hopeless", b"busy")
    with bench.consuming(choose):
        eventually(lambda: seen.count((b"busy", 1)) == 2)
        eventually(lambda: bench.server.depth(bench.dead) == 1)
    assert seen.count((b"hopeless", 1)) == 1


@pytest.mark.feature("F43")
def test_a_job_longer_than_several_heartbeats_keeps_its_connection(rabbit_server: RabbitServer) -> None:
    bench, done = Bench(rabbit_server, query="?heartbeat=1"), list[int]()

    def slow(job: Received) -> None:
        time.sleep(4)
        done.append(job.returns)

    bench.send(b"{}")
    with bench.consuming(slow):
        eventually(lambda: done)
    assert done == [0]
    assert bench.server.depth(bench.queue) == 0
    bench.close()


@pytest.mark.feature("F43")
def test_a_message_that_kills_every_consumer_ends_among_the_dead_letters(rabbit_server: RabbitServer) -> None:
    bench = Bench(rabbit_server, delivery_limit=3)
    bench.send(b"killer")
    for _ in range(4):
        with bench.server.channel() as channel:
            eventually(lambda: channel.basic_get(bench.queue)[0])
    eventually(lambda: bench.server.depth(bench.dead) == 1)
    bench.close()


@pytest.mark.feature("F43")
@pytest.mark.slow
def test_a_job_outlives_the_death_of_the_broker_and_is_done_once(own_rabbit: Brokers) -> None:
    bench, begun, go_on = Bench(own_rabbit()), list[str](), threading.Event()

    def job(received: Received) -> None:
        begun.append(received.id)
        go_on.wait(40)

    bench.send(b"{}")
    with bench.consuming(job):
        eventually(lambda: begun)
        bench.server.kill()
        with pytest.raises(NotReachable):
            bench.publisher.publish([bench.message()], timeout_s=0.5)
        bench.server.start()
        eventually(lambda: _sent(bench), 30)
        eventually(lambda: bench.server.depth(bench.queue) >= 1, 20)
        go_on.set()
        eventually(lambda: len(begun) >= 2, 20)
        eventually(lambda: bench.server.depth(bench.queue) == 0)
    assert len(begun) == len(set(begun)), "what came again while its job ran joined it"


def _sent(bench: Bench) -> bool:
    with suppress(NotReachable):
        bench.send(b"{}")
        return True
    return False


@pytest.mark.feature("F43")
@pytest.mark.slow
def test_a_job_longer_than_the_consumer_timeout_is_done_once(own_rabbit: Brokers) -> None:
    """The broker looks every so often, here each second, and closes the channel of who has not answered."""
    bench, begun, done = Bench(own_rabbit("{consumer_timeout, 2000}, {channel_tick_interval, 1000}")), [0], [0]

    def slow(job: Received) -> None:
        begun[0] += 1
        time.sleep(8)
        done[0] += 1

    bench.send(b"{}")
    with bench.consuming(slow):
        eventually(lambda: done[0], 30)
        eventually(lambda: bench.server.depth(bench.queue) == 0)
    assert (begun, done) == ([1], [1])
    bench.close()


def test_delay_queues_send_back_at_least_once(bench: Bench) -> None:
    """What the names promise: the arguments that RabbitMQ needs for dead letters that cannot be lost."""
    (delay,) = [queue for queue in bench.topology.queues if queue.name == delay_queue(bench.queue, 1)]
    assert delay.arguments["x-dead-letter-strategy"] == "at-least-once"
    assert delay.arguments["x-overflow"] == "reject-publish"
    assert {queue.arguments["x-queue-type"] for queue in bench.topology.queues} == {"quorum"}
    assert all("x-delivery-limit" in queue.arguments for queue in bench.topology.queues)
