"""What a job is, how its queue lies in Redis, and the commands that enqueue it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from sagashop import keys
from sagashop.errors import SagashopError

Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
Status = Literal["queued", "processing", "done", "failed"]


class Hopeless(SagashopError):
    """Raised by a handler: the job can never succeed, so it is not tried again."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done later.

    kind:    which handler does it
    payload: what the handler needs, as text; dropped when the job is done
    id:      of the sender's choice, so that the same job sent again is recognised; letters, digits and `:._-`
    """

    kind: str
    payload: str
    id: str
    priority: Priority = "normal"


class Taken(msgspec.Struct, frozen=True):
    """A job in a worker's hands. `attempt` counts from 1 and includes this one."""

    id: str
    kind: str
    payload: str
    attempt: int
    queued_ms: int


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its hash tells it; times in milliseconds since 1970, None where it has not come so far.

    attempts: how often a worker began it; worker: who had it last; error: why the last attempt failed
    """

    id: str
    kind: str
    priority: Priority
    status: Status
    queued_ms: int
    attempts: int = 0
    started_ms: int | None = None
    due_ms: int | None = None
    ended_ms: int | None = None
    worker: str = ""
    error: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue is worked off.

    visibility_s: a worker that does not renew its lease for so long has died, and its jobs go to others
    attempts:     a job that was begun so often without success is failed
    backoff_s:    pause after the first failure; it doubles with each up to `backoff_max_s`, with a fifth of jitter
    timeout_s:    a job may take so long; then its process ends itself, since Python cannot end a thread
    keep_s:       the status of a job that is done is kept so long
    batch:        jobs taken at once
    hold_s:       after so long the rest of a batch goes back, so that what is urgent need not wait for it
    """

    visibility_s: float = 5.0
    attempts: int = 5
    backoff_s: float = 5.0
    backoff_max_s: float = 600.0
    timeout_s: float = 60.0
    keep_s: int = 86_400
    batch: int = 10
    hold_s: float = 0.25


def status_of(job_id: str, row: Mapping[str, str]) -> JobStatus:
    """The status in a job's hash, whose values are text."""
    return msgspec.convert({"id": job_id, **row}, JobStatus, strict=False)


class QueueKeys:
    """The keys of a service's queue.

    waiting:  a list for each priority · delayed: sorted set by the time of the next attempt · failed: list
    workers:  sorted set of those who hold jobs, by the end of their lease · held: a list for each of them
    wake:     a list with one entry while something waits; idle workers block on it
    """

    def __init__(self, service: str) -> None:
        self.waiting = {priority: keys.jobs(service, "waiting", priority) for priority in PRIORITIES}
        self.delayed, self.failed = keys.jobs(service, "delayed"), keys.jobs(service, "failed")
        self.wake, self.workers = keys.jobs(service, "wake"), keys.jobs(service, "workers")
        self.job_prefix, self.held_prefix = keys.jobs(service, "job", ""), keys.jobs(service, "held", "")

    def job(self, job_id: str) -> str:
        return self.job_prefix + job_id

    def of_scripts(self, worker: str = "") -> list[str]:
        """KEYS of every script (queue.lua)."""
        return [*self.waiting.values(), self.delayed, self.failed, self.wake, self.workers, self.held_prefix + worker]


def fields(job: Job, now_ms: int) -> Iterator[str | int]:
    """A new job's hash: name, value, name, value."""
    yield from ("kind", job.kind, "payload", job.payload, "priority", job.priority)
    yield from ("status", "queued", "queued_ms", now_ms, "attempts", 0)


def enqueueing(service: str, job: Job, now_ms: int) -> list[tuple[str | int, ...]]:
    """The commands that put a job on its queue, for a commit; enqueue.lua does the same."""
    at = QueueKeys(service)
    return [
        ("HSET", at.job(job.id), *fields(job, now_ms)),
        ("RPUSH", at.waiting[job.priority], job.id),
        ("RPUSH", at.wake, 1),
    ]
