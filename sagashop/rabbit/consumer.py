"""A queue's messages as jobs, each in a thread, so that a job may take as long as it needs.

    consumer = Consumer(url, "fulfillment", "bookings", book, topology=TOPOLOGY)
    consumer.run(stopping, pulse)

Delivery: at least once. A message is acknowledged when its job is done, or when its copy is safe elsewhere: in a delay
queue after a failure, among the dead letters after the last one. A job that outlives its connection, or the broker's
consumer timeout, goes on; when its message comes again it joins the job instead of starting a second one.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from sagashop.errors import NotReachable, SagashopError
from sagashop.health import Pulse
from sagashop.messages import new_id
from sagashop.rabbit.connection import Connection, Pauses
from sagashop.rabbit.layout import STEPS_S, dead_queue, delay_queue, work_exchange
from sagashop.rabbit.publisher import NotTaken, Outgoing, Publisher
from sagashop.rabbit.topology import NOT_FOUND, Topology, declare

log = structlog.get_logger()

ATTEMPT, TRIP = "attempt", "trip"
"""Our own headers: a way through a delay queue resets what the broker counts. `trip` tells copies of one message apart.
"""
REMEMBERED = 1_000
LONGEST_TRACEBACK = 4_000
NOTHING = Topology()
GRACE_S = 15.0
"""A job under way at a stop may take so long to end; supervisor kills after 20 s."""


class GiveUp(SagashopError):
    """Raised by a job: trying again is no use. The message goes to the dead letters at once."""


class Later(SagashopError):
    """Raised by a job: not now, and nobody's fault. The message waits for a step, and the attempt does not count."""


class Back(SagashopError):
    """Raised by a job: the message stays where it is, and comes again at once, so wait a little before. The broker
    counts it towards the queue's delivery limit.
    """


class Received(msgspec.Struct, frozen=True):
    """One message for a job.

    id:      the same for every copy of this message
    attempt: from 1; goes up with each failure
    returns: how often the broker had it back from a consumer that died or left, on this trip through the queue
    """

    body: bytes
    id: str
    type: str
    key: str
    headers: Mapping[str, Any]
    attempt: int
    returns: int

    @property
    def copy(self) -> tuple[str, int]:
        """This copy of the message, however often it is delivered."""
        trip = self.headers.get(TRIP, 0)
        return self.id, trip if isinstance(trip, int) else 0


Handle = Callable[[Received], None]


@dataclass
class _Job:
    """A message at work, and every delivery of it that is to be acknowledged at the end: (channel, tag)."""

    received: Received
    tickets: list[tuple[Any, int]] = field(default_factory=list)


class Consumer:
    """Takes jobs from the queue `<service>.<name>` (see `layout.work_queue`) and hands each to `handle` in a thread.

    jobs:     how many at a time; so many messages are fetched and no more
    topology: declared before each connect
    steps_s:  the pauses after the first, second … failure, at least one; after the last one come the dead letters
    """

    def __init__(self, url: str, service: str, name: str, handle: Handle, *, topology: Topology = NOTHING,
                 jobs: int = 1, steps_s: Sequence[int] = STEPS_S) -> None:  # fmt: skip
        self._service, self._queue, self._handle = service, f"{service}.{name}", handle
        self._jobs, self._steps_s = jobs, steps_s
        who = f"{self._queue} consumer"
        self._connection = Connection(url, who, self._opened, before=lambda: declare(url, who, topology))
        self._publisher = Publisher(url, f"{self._queue} retries")
        self._todo = queue.SimpleQueue[_Job | None]()
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Job] = {}
        self._unheard = OrderedDict[tuple[str, int], None]()  # done, but the broker could not be told
        self._ended = deque[tuple[_Job, bool]]()
        self._pauses = Pauses()
        self._stopping = threading.Event()

    def run(self, stopping: threading.Event, pulse: Pulse | None = None) -> None:
        """Work until `stopping`; then take nothing new, and give the jobs under way 15 s to end.

        The pulse beats while there is a connection. What is not done at the end comes again, here or elsewhere.
        """
        threads = [threading.Thread(target=self._work, name=f"{self._queue} job {n}", daemon=True)
                   for n in range(self._jobs)]  # fmt: skip
        for thread in threads:
            thread.start()
        self._connection.start()
        while not stopping.wait(0.2):
            if pulse and self._connection.is_open:
                pulse.beat()
        self._stopping.set()
        self._stop_taking()
        ends = time.monotonic() + GRACE_S
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
        self._connection.close()
        self._publisher.close()

    def _stop_taking(self) -> None:
        """Jobs that have not begun go back to the queue when the connection closes."""
        try:
            while self._todo.get_nowait():
                pass
        except queue.Empty:
            pass
        for _ in range(self._jobs):
            self._todo.put(None)

    # In the connection's thread

    def _opened(self, connection: Any) -> None:
        def ready(channel: Any) -> None:
            channel.add_on_close_callback(closed)
            channel.add_on_cancel_callback(lambda _: connection.close())  # the queue is gone: declare it again
            self._answer_all()  # before it comes again
            channel.basic_qos(prefetch_count=self._jobs)
            channel.basic_consume(self._queue, self._on_message)
            self._pauses.over()

        def closed(channel: Any, why: BaseException) -> None:
            """The broker closes a channel whose job outlives its consumer timeout; the message comes again."""
            if connection.is_open and not self._stopping.is_set():
                log.warning("consumer.channel_closed", queue=self._queue, error=str(why))
                if getattr(why, "reply_code", 0) == NOT_FOUND:
                    connection.close()
                else:
                    connection.ioloop.call_later(self._pauses.next_s(), reopen)

        def reopen() -> None:
            if connection.is_open:
                connection.channel(on_open_callback=ready)

        reopen()

    def _on_message(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        received = _received(method, properties, body)
        copy, ticket = received.copy, (channel, method.delivery_tag)
        with self._lock:
            if copy in self._unheard:
                del self._unheard[copy]
                channel.basic_ack(method.delivery_tag)
            elif copy in self._running:
                self._running[copy].tickets.append(ticket)
            else:
                self._running[copy] = job = _Job(received, [ticket])
                if not self._stopping.is_set():
                    self._todo.put(job)

    # In a job's thread

    def _work(self) -> None:
        while job := self._todo.get():
            self._settle(job, done=self._try(job.received))

    def _try(self, received: Received) -> bool:
        """Do the job; True where its message may be acknowledged."""
        try:
            self._handle(received)
            return True
        except Back as why:
            log.warning("job.back", queue=self._queue, id=received.id, error=str(why))
            return False
        except Later as why:
            return self._again(received, received.attempt, self._steps_s[0], str(why))
        except GiveUp as why:
            return self._set_aside(received, str(why), traceback.format_exc())
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if received.attempt > len(self._steps_s):
                return self._set_aside(received, reason, traceback.format_exc())
            return self._again(received, received.attempt + 1, self._steps_s[received.attempt - 1], reason)

    def _again(self, received: Received, attempt: int, step_s: int, reason: str) -> bool:
        log.warning("job.again", queue=self._queue, id=received.id, attempt=received.attempt, error=reason,
                    in_s=step_s)  # fmt: skip
        return self._send(received, delay_queue(self._queue, step_s), {ATTEMPT: attempt})

    def _set_aside(self, received: Received, reason: str, details: str) -> bool:
        log.error("job.dead", queue=self._queue, id=received.id, attempts=received.attempt, reason=reason)
        told = {"source": self._queue, "reason": reason[:500], "traceback": details[-LONGEST_TRACEBACK:]}
        return self._send(received, dead_queue(self._service), {ATTEMPT: received.attempt, **told})

    def _send(self, received: Received, to: str, headers: Mapping[str, str | int]) -> bool:
        kept = {name: value for name, value in received.headers.items() if not name.startswith("x-")}
        copy = Outgoing(
            work_exchange(self._service), to, received.body, id=received.id, type=received.type,
            headers={**kept, **headers, TRIP: received.copy[1] + 1},
        )  # fmt: skip
        try:
            self._publisher.publish([copy])
        except (NotReachable, NotTaken) as why:
            log.error("job.not_set_aside", queue=self._queue, id=received.id, error=str(why))
            return False
        return True

    def _settle(self, job: _Job, *, done: bool) -> None:
        self._ended.append((job, done))
        with suppress(NotReachable):  # then it is answered when there is a connection again
            self._connection.call(self._answer_all)

    # In the connection's thread again

    def _answer_all(self) -> None:
        while self._ended:
            self._answer(*self._ended.popleft())

    def _answer(self, job: _Job, done: bool) -> None:
        """Tell the broker, or remember that it could not be told: the message comes again, and its work is done.

        basic.reject, since from RabbitMQ 4.3 on a basic.nack no longer counts towards the delivery limit.
        """
        with self._lock:
            del self._running[job.received.copy]
            live = [(channel, tag) for channel, tag in job.tickets if channel.is_open]
            if done and not live:
                log.info("job.not_acknowledged", queue=self._queue, id=job.received.id)
                self._unheard[job.received.copy] = None
                while len(self._unheard) > REMEMBERED:
                    self._unheard.popitem(last=False)
        for channel, tag in live:
            channel.basic_ack(tag) if done else channel.basic_reject(tag, requeue=True)


def _received(method: Any, properties: Any, body: bytes) -> Received:
    headers = properties.headers or {}
    attempt = headers.get(ATTEMPT, 1)
    return Received(
        body=body, id=properties.message_id or new_id(), type=properties.type or "", key=method.routing_key,
        headers=headers, attempt=attempt if isinstance(attempt, int) else 1,
        returns=int(headers.get("x-delivery-count", int(method.redelivered))),
    )  # fmt: skip
