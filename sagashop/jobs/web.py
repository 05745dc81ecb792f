"""What an operator sees and does at `/admin/<service>/jobs`: how many wait, one by its id, and those that failed."""

from __future__ import annotations

from typing import Annotated

import structlog
from flask import Blueprint
from msgspec import Meta, Struct

from sagashop.errors import NotFound
from sagashop.jobs.job import JobStatus
from sagashop.jobs.queue import Counts, JobQueue
from sagashop.web.admin import OPERATORS_ONLY, Done
from sagashop.web.auth import require_operator
from sagashop.web.inputs import Answer, Input, accepts

log = structlog.get_logger()


class NoJob(NotFound):
    kind, title = "no-job", "There is no such job, or it is done and forgotten"


class NotAmongFailed(NotFound):
    kind, title = "job-not-failed", "This job is not among the failed"


class FailedQuery(Input, frozen=True, kw_only=True):
    """The oldest first."""

    offset: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Failed(Struct, frozen=True, kw_only=True):
    """`total` counts all of them."""

    items: list[JobStatus]
    total: int


def jobs_blueprint(queue: JobQueue) -> Blueprint:
    """The operator's endpoints of one service's queue."""
    routes = Blueprint("jobs", __name__, url_prefix=f"/admin/{queue.service}")
    routes.before_request(_operators_only)

    @routes.get("/jobs")
    @accepts(answers=Counts, problems=OPERATORS_ONLY)
    def counts() -> Answer:
        return queue.counts()

    @routes.get("/jobs/<job_id>")
    @accepts(answers=JobStatus, problems=[*OPERATORS_ONLY, NoJob])
    def job(job_id: str) -> Answer:
        status = queue.get(job_id)
        if status is None:
            raise NoJob
        return status

    @routes.get("/failed-jobs")
    @accepts(query=FailedQuery, answers=Failed, problems=OPERATORS_ONLY)
    def failed(query: FailedQuery) -> Answer:
        return Failed(items=queue.failed(offset=query.offset, limit=query.limit), total=queue.counts().failed)

    @routes.post("/failed-jobs/<job_id>/retry")
    @accepts(answers={202: Done}, problems=[*OPERATORS_ONLY, NotAmongFailed])
    def retry(job_id: str) -> Answer:
        """Queue it again, with all its attempts before it."""
        if not queue.retry(job_id):
            raise NotAmongFailed
        log.info("job.retried", job=job_id)
        return Done(job_id, "retried"), 202

    @routes.delete("/failed-jobs/<job_id>")
    @accepts(answers=Done, problems=[*OPERATORS_ONLY, NotAmongFailed])
    def discard(job_id: str) -> Answer:
        """Drop it for good."""
        if not queue.discard(job_id):
            raise NotAmongFailed
        log.warning("job.discarded", job=job_id)
        return Done(job_id, "discarded")

    return routes


def _operators_only() -> None:
    require_operator()
