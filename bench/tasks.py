"""How many tasks a second go from the outbox over RabbitMQ to their end, beside the same messages on bare pika."""

from __future__ import annotations

import threading
import time
from typing import Any

import pika
import redis

from bench.figures import Row
from sagashop import keys, sql
from sagashop.messages import Message, new_id
from sagashop.rabbit.consumer import Consumer
from sagashop.rabbit.layout import work_exchange, work_queue
from sagashop.rabbit.publisher import Publisher
from sagashop.rabbit.topology import declare
from sagashop.settings import Settings
from sagashop.streams.bus import RedisBus
from sagashop.tasks.documents import Document, Documents
from sagashop.tasks.lease import Leases
from sagashop.tasks.relay import Relay
from sagashop.tasks.runner import Done, Runner, Work
from sagashop.tasks.task import TaskMessage, opened

SERVICE, QUEUE = "bench", "bench.tasks"
JOBS, WINDOW = 16, 1_000
STARTED_WITHIN_S, SLOWEST_PER_S = 30.0, 50


class Nothing(TaskMessage):
    """Do nothing."""

    channel = QUEUE


def tasks(ledger_url: str, rabbit_url: str, count: int) -> Row:
    """No-op tasks per second, one worker with 16 threads: relayed with confirms, leased, run, ended, acknowledged."""
    topology = work_queue(SERVICE, "tasks")
    declare(rabbit_url, "bench", topology)
    bare = _Floor(rabbit_url, count).rate()
    settings = Settings(redis_ledger_url=ledger_url, rabbitmq_url=rabbit_url)
    client = redis.Redis.from_url(ledger_url, decode_responses=True)
    bus, runner = RedisBus(settings), _runner(client)
    for _ in range(count):
        bus.admit(SERVICE, opened(SERVICE, Nothing(task_id=new_id()), "bench"))
    relay = Relay(SERVICE, QUEUE, client, client, Publisher(rabbit_url, "bench relay"))
    done = _Counted(runner, count)
    consumer = Consumer(rabbit_url, SERVICE, "tasks", done.handle, topology=topology, jobs=JOBS)
    stopping, started = threading.Event(), time.perf_counter()
    threads = [threading.Thread(target=loop, args=(stopping,), daemon=True) for loop in (relay.run, consumer.run)]
    for thread in threads:
        thread.start()
    ended = done.all.wait(STARTED_WITHIN_S + count / SLOWEST_PER_S)
    took_s = time.perf_counter() - started
    stopping.set()
    for thread in threads:
        thread.join(20)
    _clear(client, rabbit_url)
    if not ended:
        raise RuntimeError(f"{done.left} of {count} tasks were not done within {took_s:.0f} s")
    return Row("tasks", round(count / took_s, 1), "tasks/s", round(bare, 1))


def _runner(client: redis.Redis) -> Runner:
    paper = Document(document_id="none", name="none", media_type="text/plain", size=0)

    def nothing(message: Message, work: Work) -> Done:
        return Done(paper)

    documents = Documents(sql.engine("sqlite://"))  # never touched: a no-op stores nothing
    return Runner(Leases(SERVICE, client), documents, {Nothing: nothing}, timeout_s=60, link=str)


class _Counted:
    """A handler that says when all is done."""

    def __init__(self, runner: Runner, count: int) -> None:
        self._runner, self.left = runner, count
        self._lock, self.all = threading.Lock(), threading.Event()

    def handle(self, received: Any) -> None:
        self._runner.handle(received)
        with self._lock:
            self.left -= 1
            if not self.left:
                self.all.set()


class _Floor:
    """The same number of messages through the same quorum queue: published in a window of confirms, consumed, acked."""

    def __init__(self, url: str, count: int) -> None:
        self._count, self._sent, self._confirmed, self._consumed = count, 0, 0, 0
        self._publishing: Any = None
        self._connection = pika.SelectConnection(pika.URLParameters(url), on_open_callback=self._opened)
        self._body = b"x" * 300

    def rate(self) -> float:
        """Messages a second, from the first sent to the last acknowledged."""
        self._started = time.perf_counter()
        self._connection.ioloop.start()
        return self._count / (self._ended - self._started)

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._consume)
        connection.channel(on_open_callback=self._publish)

    def _consume(self, channel: Any) -> None:
        channel.basic_qos(prefetch_count=JOBS)
        channel.basic_consume(QUEUE, self._take)

    def _take(self, channel: Any, method: Any, _properties: Any, _body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        self._consumed += 1
        if self._consumed == self._count:
            self._ended = time.perf_counter()
            self._connection.add_on_close_callback(lambda *_: self._connection.ioloop.stop())
            self._connection.close()

    def _publish(self, channel: Any) -> None:
        self._publishing = channel
        channel.confirm_delivery(self._confirm, callback=lambda _: self._pump())

    def _confirm(self, frame: Any) -> None:
        self._confirmed = max(self._confirmed, frame.method.delivery_tag)
        self._pump()

    def _pump(self) -> None:
        while self._sent < self._count and self._sent - self._confirmed < WINDOW:
            self._sent += 1
            self._publishing.basic_publish(
                work_exchange(SERVICE), QUEUE, self._body, pika.BasicProperties(delivery_mode=2), mandatory=True
            )


def _clear(client: redis.Redis, rabbit_url: str) -> None:
    for key in client.scan_iter(keys.own(SERVICE, "*"), count=5000):
        client.unlink(key)
    client.close()
    with pika.BlockingConnection(pika.URLParameters(rabbit_url)) as connection:
        channel = connection.channel()
        topology = work_queue(SERVICE, "tasks")
        for queue in topology.queues:
            channel.queue_delete(queue.name)
        for exchange in topology.exchanges:
            channel.exchange_delete(exchange.name)
