"""A service's job queue from the outside: enqueue, look at, and what the operator does with failed jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from sagashop.errors import Unavailable
from sagashop.jobs.job import PRIORITIES, Job, JobStatus, Priority, QueueKeys, fields, status_of
from sagashop.messages import new_id, now_ms
from sagashop.streams.commit import FULL, Scripts, lua

if TYPE_CHECKING:
    from redis import Redis

NAMES = ("enqueue", "take", "settle", "tend", "again")
AT_ONCE = 500
"""Jobs in one call: Redis does nothing else meanwhile."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs are where. `delayed`: they wait for their next attempt; `workers`: those who hold jobs now."""

    waiting: dict[Priority, int]
    delayed: int
    processing: int
    failed: int
    workers: list[str]


class JobQueue:
    """The queue of one service. Needs the service's own keys alone, and connects at first use."""

    def __init__(self, service: str, redis: Redis, *, admit_percent: int = 80) -> None:
        self.service, self.redis, self.keys = service, redis, QueueKeys(service)
        self._admit_percent = admit_percent
        texts = {name: lua(f"{name}.lua", using="queue.lua", package="sagashop.jobs") for name in NAMES}
        self._scripts = Scripts(redis, texts)

    def enqueue(self, kind: str, payload: str, *, priority: Priority = "normal", id: str | None = None) -> bool:  # noqa: A002
        """Put one job on the queue; False where its id is known, so that a repetition does no harm.

        Raises: as `enqueue_all`
        """
        return bool(self.enqueue_all([Job(kind=kind, payload=payload, priority=priority, id=id or new_id())]))

    def enqueue_all(self, jobs: Sequence[Job]) -> int:
        """Put jobs on the queue, in calls of 500; how many were new.

        Raises:
            Unavailable: memory is nearly full, or the server does not answer. Some may be on the queue: send all again.
        """
        return sum(self._enqueue(jobs[at : at + AT_ONCE]) for at in range(0, len(jobs), AT_ONCE))

    def _enqueue(self, jobs: Sequence[Job]) -> int:
        now, words = now_ms(), list[str | int]([self._admit_percent])
        for job in jobs:
            row = list(fields(job, now))
            words += (job.id, job.priority, len(row), *row)
        try:
            answer = self.run("enqueue", *words)
        except OutOfMemoryError as error:
            raise Unavailable("redis-ledger has no memory left for new jobs", retry_after_s=5) from error
        except ResponseError:
            raise
        except RedisError as error:
            raise Unavailable("redis-ledger does not answer") from error
        if answer == FULL:
            raise Unavailable("redis-ledger is nearly full; work in progress goes first", retry_after_s=5)
        return int(answer)

    def run(self, script: str, *arguments: str | int, worker: str = "") -> Any:
        """Call one of the queue's scripts."""
        return self._scripts.run(script, self.keys.of_scripts(worker), [self.keys.job_prefix, *arguments])

    def get(self, job_id: str) -> JobStatus | None:
        """The status of a job; None where it is not known (any more)."""
        row: Any = self.redis.hgetall(self.keys.job(job_id))
        return status_of(job_id, row) if row else None

    def counts(self) -> Counts:
        """How many jobs are where."""
        workers: Any = self.redis.zrange(self.keys.workers, 0, -1)
        pipe = self.redis.pipeline(transaction=False)
        for name in PRIORITIES:
            pipe.llen(self.keys.waiting[name])
        pipe.zcard(self.keys.delayed)
        pipe.llen(self.keys.failed)
        for worker in workers:
            pipe.llen(self.keys.held_prefix + worker)
        high, normal, low, delayed, failed, *held = pipe.execute()
        waiting: dict[Priority, int] = {"high": high, "normal": normal, "low": low}
        return Counts(waiting=waiting, delayed=delayed, processing=sum(held), failed=failed, workers=workers)

    def failed(self, *, offset: int = 0, limit: int = 50) -> list[JobStatus]:
        """Jobs that are given up, the oldest first."""
        ids: Any = self.redis.lrange(self.keys.failed, offset, offset + limit - 1)
        found = (self.get(job_id) for job_id in ids)
        return [status for status in found if status is not None]

    def retry(self, job_id: str) -> bool:
        """Queue a failed job again, with all its attempts before it; False where it is not among the failed."""
        return bool(self.run("again", job_id, "retry"))

    def discard(self, job_id: str) -> bool:
        """Drop a failed job for good; False where it is not among the failed."""
        return bool(self.run("again", job_id, "discard"))
