"""What one worker holds: it takes jobs, says what became of them, and keeps its lease on them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import structlog

from sagashop.jobs.job import Policy, Taken
from sagashop.messages import new_id

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.jobs.queue import JobQueue

log = structlog.get_logger()
LONGEST_ERROR = 500


class Outcome(NamedTuple):
    """What became of a job: done · again after a pause · failed for good · back, as if it had not been taken."""

    job_id: str
    what: Literal["done", "again", "failed", "back"]
    pause_ms: int = 0
    error: str = ""


class Holder:
    """One worker's hold on jobs of a queue.

    Each process has a name of its own, also after a restart: what its predecessor held goes to whoever looks first, and
    a predecessor that still lives can settle nothing of ours.

    blocking: a client whose socket timeout lies above the waits asked for
    """

    def __init__(self, queue: JobQueue, worker: str, policy: Policy, *, blocking: Redis) -> None:
        self._queue, self._policy, self._blocking = queue, policy, blocking
        self.name = f"{worker}.{new_id()[:8]}"
        self._lease_ms = int(policy.visibility_s * 1000)
        self._jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing

    def take(self, limit: int) -> list[Taken]:
        """Up to so many jobs, those of high priority first; one alone where it has failed before."""
        found = self._queue.run("take", self.name, limit, self._lease_ms, worker=self.name)
        return [Taken(*job) for job in found]

    def wait(self, block_s: float) -> bool:
        """Return True when something waits, False after `block_s` seconds without."""
        wake = self._queue.keys.wake
        return self._blocking.blmove(wake, wake, block_s, "LEFT", "LEFT") is not None  # type: ignore[arg-type]

    def settle(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Say what became of jobs, one round trip; the ids of those that others have taken over since.

        May be repeated after a lost answer: what was settled is not held any more, and nothing happens to it.
        """
        if not outcomes:
            return []
        words = [word for each in outcomes for word in (each.job_id, each.what, each.pause_ms, each.error)]
        answers = self._queue.run("settle", self.name, self._policy.keep_s, *words, worker=self.name)
        return [each.job_id for each, mine in zip(outcomes, answers, strict=True) if not mine]

    def tend(self, *, renew: bool = True) -> int:
        """Renew the own lease, and hand on the jobs of workers that are gone; how many jobs that were."""
        lease_ms = self._lease_ms if renew else 0
        held = self._queue.keys.held_prefix
        gone = self._queue.run("tend", self.name, lease_ms, held, self._policy.attempts, worker=self.name)
        for worker, jobs, hopeless in gone:
            log.warning("jobs.taken_over", gone=worker, jobs=jobs, failed=hopeless)
        return sum(jobs for _, jobs, _ in gone)

    def failure(self, job: Taken, error: Exception, *, hopeless: bool) -> Outcome:
        """What follows from a failed attempt: another one later, or none."""
        text = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
        if hopeless or job.attempt >= self._policy.attempts:
            return Outcome(job.id, "failed", 0, text)
        return Outcome(job.id, "again", self._pause_ms(job.attempt), text)

    def _pause_ms(self, attempt: int) -> int:
        doubled: float = min(self._policy.backoff_max_s, self._policy.backoff_s * 2 ** (attempt - 1))
        return int(doubled * 1000 * self._jitter.uniform(1.0, 1.2))
