"""The loop that works a queue off: take, run, settle. One job at a time; start more processes for more at once.

Delivery guarantee: at least once to the handler. What became of a job is recorded once, by whoever still holds it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from sagashop.errors import NotReachable, Unavailable
from sagashop.jobs.holder import Holder, Outcome
from sagashop.jobs.job import Hopeless, Policy, Taken

if TYPE_CHECKING:
    from sagashop.health import Pulse

log = structlog.get_logger()

Handle = Callable[[Taken], None]
BLOCK_S = 0.5
LONGEST_PAUSE_S = 5.0
AWAY = (RedisError, NotReachable, Unavailable)
"""A server that is needed does not answer. That is nobody's fault: the job goes back, uncounted, and the loop waits."""


class JobWorker:
    """Runs jobs by their kind. `step` is one round; `run` repeats it and survives its servers.

    A handler returns when the job is done. It raises Hopeless where no attempt can succeed, NotReachable where a server
    is away, anything else where this attempt failed.

    at_rest:  called when no job has come for half a second, to let go of what jobs share
    linger_s: the pause after a batch, in which the next one gathers
    """

    def __init__(self, holder: Holder, handlers: Mapping[str, Handle], policy: Policy, *,
                 at_rest: Callable[[], None] = lambda: None, linger_s: float = 0) -> None:  # fmt: skip
        self._holder, self._handlers, self._policy = holder, handlers, policy
        self._at_rest, self._linger_s = at_rest, linger_s
        self._unsettled: list[Outcome] = []
        self._began: float | None = None
        self._stopping = threading.Event()

    def step(self, block_s: float = BLOCK_S) -> int:
        """Do one batch, or wait up to `block_s` seconds for work; how many jobs were taken."""
        self._settle()  # what could not be said before: nothing new is taken until it is
        jobs = self._holder.take(self._policy.batch)
        if not jobs:
            if not self._holder.wait(block_s):
                self._at_rest()
            return 0
        try:
            self._work_off(jobs)
        finally:
            self._settle()
        return len(jobs)

    def _work_off(self, jobs: Sequence[Taken]) -> None:
        until = time.monotonic() + self._policy.hold_s
        for place, job in enumerate(jobs):
            if self._stopping.is_set() or (place and time.monotonic() > until):
                return self._give_back(jobs[place:])
            try:
                self._unsettled.append(self._outcome(job))
            except AWAY:
                self._give_back(jobs[place:])
                raise
        return None

    def _outcome(self, job: Taken) -> Outcome:
        self._began = time.monotonic()
        try:
            self._handlers[job.kind](job)
        except AWAY:
            raise
        except Exception as error:
            outcome = self._holder.failure(job, error, hopeless=isinstance(error, Hopeless))
            log.warning(f"job.{'failed' if outcome.what == 'failed' else 'tried'}", job=job.id, kind=job.kind,
                        attempt=job.attempt, error=outcome.error, traceback=traceback.format_exc())  # fmt: skip
            return outcome
        finally:
            self._began = None
        return Outcome(job.id, "done")

    def _give_back(self, jobs: Sequence[Taken]) -> None:
        """The last first, since each goes to the head of its list."""
        self._unsettled += [Outcome(job.id, "back") for job in reversed(jobs)]

    def _settle(self) -> None:
        for job_id in self._holder.settle(self._unsettled):
            log.warning("job.lost", job=job_id, why="settled before, or taken over by another worker after the lease")
        self._unsettled = []

    def run(self, stopping: threading.Event, pulse: Pulse, paused: Callable[[], bool] = lambda: False) -> None:
        """Loop until `stopping`. While a server is away the loop pauses, up to 5 s at a time, and no job is blamed."""
        self._stopping, pause_s = stopping, 0.1
        while not stopping.is_set():
            pulse.beat()
            try:
                if paused():
                    stopping.wait(0.5)
                elif self.step():
                    stopping.wait(self._linger_s)
                pause_s = 0.1
            except AWAY as error:
                log.error("jobs.waiting", reason=str(error), again_in_s=pause_s)
                stopping.wait(pause_s)
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        with contextlib.suppress(RedisError):  # else they are done again, after the lease
            self._settle()

    def tend(self, stopping: threading.Event, die: Callable[[], None] = lambda: os._exit(70)) -> None:
        """Renew the lease and look after the jobs of dead workers, in a thread of its own, until the event is set.

        A job that takes longer than its timeout cannot be stopped in a thread, so the process ends; the supervisor
        starts it anew, and the job goes to others with one attempt counted.
        """
        while not stopping.wait(self._policy.visibility_s / 3):
            began = self._began
            if began is not None and time.monotonic() - began > self._policy.timeout_s:
                log.critical("job.overran", timeout_s=self._policy.timeout_s)
                sys.stdout.flush()
                return die()
            try:
                self._holder.tend()
            except RedisError:
                continue  # the loop itself reports and waits
        return None
