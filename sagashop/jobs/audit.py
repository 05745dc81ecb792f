"""Jobs as the audit counts them."""

from __future__ import annotations

from collections.abc import Iterator

from sagashop.audit.facts import EXAMPLES, Check, Tally
from sagashop.audit.house import FAILED_JOBS
from sagashop.jobs.queue import Counts, JobQueue


class JobsUnderWay:
    """See `sagashop.audit.elsewhere.Elsewhere`."""

    name = "jobs"

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def waiting(self) -> int:
        return _open(self._queue.counts())

    def checks(self, house: str) -> Iterator[Check]:
        counts, tally = self._queue.counts(), Tally("every job is done")
        tally.saw(_open(counts))
        if _open(counts):
            waiting = ", ".join(f"{count} {priority}" for priority, count in counts.waiting.items())
            tally.found(f"{waiting}, {counts.delayed} to be tried again, {counts.processing} at work")
        yield tally.check(house)
        jobs = self._queue.failed(limit=EXAMPLES) if counts.failed else []
        examples = [f"{job.kind} {job.id}: {job.error}" for job in jobs]
        yield Check(house=house, name=FAILED_JOBS, looked_at=counts.failed, wrong=counts.failed, examples=examples)


def _open(counts: Counts) -> int:
    return sum(counts.waiting.values()) + counts.delayed + counts.processing
