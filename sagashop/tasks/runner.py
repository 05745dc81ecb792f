"""Runs the tasks whose messages a consumer hands over: lease, job, result.

Delivery guarantee: at least once to the job, once to the reader: the result counts if the lease is still ours at the
end. A job that hangs beyond its timeout cannot be stopped in a thread, so its process ends, and the broker hands its
message to others.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError
from structlog.contextvars import bound_contextvars

from sagashop.errors import NotReachable, SagashopError, Unavailable
from sagashop.messages import Catalogue
from sagashop.rabbit.consumer import GiveUp, Later, Received
from sagashop.rabbit.layout import STEPS_S
from sagashop.tasks.documents import Document, Documents
from sagashop.tasks.lease import Lease, Leases, Lost
from sagashop.tasks.opening import opened
from sagashop.tasks.task import TaskMessage

log = structlog.get_logger()

AWAY = (RedisError, OperationalError, InterfaceError, NotReachable, Unavailable)
"""A server that is needed does not answer. That is nobody's fault, and does not count as an attempt."""
ATTEMPTS = len(STEPS_S) + 1
"""Attempts at a task, those included at which its worker died."""


class Hopeless(SagashopError):
    """Raised by a job: this can never succeed, for a reason that its owner is told. No operator need look at it."""


class Work:
    """What a job is given beside its message: ways to say how far it is, and to keep its result."""

    def __init__(self, lease: Lease, documents: Documents) -> None:
        self._lease, self._documents = lease, documents
        self.progress = lease.progress
        """`progress(40, "writes the second sheet")`. Raises: Lost, which the job lets through."""

    def store(self, name: str, media_type: str, chunks: Iterator[bytes]) -> Document:
        """Keep a file. Each attempt has its own, so that no two workers write the same one."""
        document_id = f"{self._lease.task_id}-{self._lease.attempt}"
        return self._documents.write(document_id, name, media_type, chunks)


class Done(msgspec.Struct, frozen=True):
    """A job's result, and what its owner reads beside it."""

    document: Document
    note: str = ""


Job = Callable[[Any, Work], Done]


class Runner:
    """Does the tasks of one service.

    jobs:      what to do, by message
    timeout_s: the longest a job may take
    link:      where the result of a task is found, given its id
    """

    def __init__(self, leases: Leases, documents: Documents, jobs: Mapping[type[TaskMessage], Job], *,
                 timeout_s: float, link: Callable[[str], str]) -> None:  # fmt: skip
        self._leases, self._documents, self._jobs = leases, documents, jobs
        self._timeout_s, self._link = timeout_s, link
        self._catalogue = Catalogue(list(jobs))
        self._running: dict[Lease, float] = {}

    def handle(self, received: Received) -> None:
        """Do one task, or find that it is done. For `Consumer`: what it raises decides what becomes of the message."""
        envelope = opened(self._catalogue, received)
        message: Any = envelope.message
        with bound_contextvars(task_id=message.task_id, trace=envelope.trace):
            try:
                lease = self._leases.take(message.task_id)
            except AWAY as why:
                raise Later(str(why)) from why
            if isinstance(lease, Lease):
                self._attempt(message, lease)
            elif lease == "held":
                raise Later("another worker is at it")
            else:
                log.info("task.over", status=lease)

    def _attempt(self, message: TaskMessage, lease: Lease) -> None:
        if lease.attempt > ATTEMPTS:
            why = "it failed, or its worker died, each time"
            raise GiveUp(f"given up after {ATTEMPTS} attempts: {why}; last heard: {lease.noted}")
        try:
            with self._kept(lease):
                done = self._jobs[type(message)](message, Work(lease, self._documents))
            self._finish(lease, done)
        except Lost:
            log.info("task.lost", attempt=lease.attempt)
        except Hopeless as why:
            lease.fail(str(why))
        except AWAY as why:
            _give_back(lease, "waits for a server", counted=False)
            raise Later(str(why)) from why
        except Exception as error:
            _give_back(lease, f"attempt {lease.attempt} failed: {type(error).__name__}", counted=True)
            raise

    def _finish(self, lease: Lease, done: Done) -> None:
        document = done.document.document_id
        if lease.succeed(self._link(lease.task_id), document, done.note):
            log.info("task.succeeded", attempt=lease.attempt, bytes=done.document.size)
        else:
            self._documents.drop(document)
            raise Lost(f"task {lease.task_id}")

    @contextmanager
    def _kept(self, lease: Lease) -> Iterator[None]:
        self._running[lease] = time.monotonic()
        try:
            yield
        finally:
            del self._running[lease]

    def tend(self, stopping: threading.Event, die: Callable[[], None] = lambda: os._exit(70)) -> None:
        """Renew the leases of what runs, in a thread of its own, until the event is set; end the process at a job that
        overran, after its row and those of the jobs beside it say so.
        """
        while not stopping.wait(self._leases.lease_s / 4):
            running = list(self._running.items())
            overran = {lease for lease, began in running if time.monotonic() - began > self._timeout_s}
            if overran:
                self._break_off([lease for lease, _ in running], overran)
                return die()
            for lease, _ in running:
                try:
                    lease.renew()
                except RedisError as why:
                    log.warning("task.lease_not_renewed", task_id=lease.task_id, error=str(why))
        return None

    def _break_off(self, running: Sequence[Lease], overran: Set[Lease]) -> None:
        """Every attempt counts: the next one writes a document of its own, while this one may still write."""
        for lease in running:
            if lease in overran:
                log.critical("task.overran", task_id=lease.task_id, attempt=lease.attempt, timeout_s=self._timeout_s)
                note = f"attempt {lease.attempt} took longer than {self._timeout_s:g} s"
            else:
                note = f"attempt {lease.attempt} was broken off: its worker had to be restarted"
            _give_back(lease, note, counted=True)
        sys.stdout.flush()


def _give_back(lease: Lease, note: str, *, counted: bool) -> None:
    try:
        lease.give_back(note, counted=counted)
    except RedisError as why:  # then the lease runs out, and the next attempt begins after it
        log.warning("task.not_given_back", task_id=lease.task_id, error=str(why))
