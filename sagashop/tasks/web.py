"""Tasks over HTTP: accepted with 202, looked at, cancelled, and their results taken home."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from sagashop.errors import Conflict, NotLoggedIn
from sagashop.tasks.desk import NoTask, Submitted, Tasks
from sagashop.tasks.documents import Documents
from sagashop.tasks.task import Status, Task
from sagashop.web.auth import require_login
from sagashop.web.inputs import Answer, accepts


class NoResult(Conflict):
    kind, title = "no-result", "This task has no result (yet)"


class TaskView(Struct, frozen=True, kw_only=True):
    """A task. `result` is where to get what it made, once it succeeded; `reason` says why it failed. Times in ms."""

    task_id: str
    kind: str
    status: Status
    progress: Annotated[int, Meta(ge=0, le=100)]
    note: str
    result: str | None
    reason: str | None
    attempt: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None

    @classmethod
    def of(cls, task: Task) -> TaskView:
        return cls(**{name: getattr(task, name) for name in cls.__struct_fields__})


def idempotency_key() -> str | None:
    """What the client calls this request, if anything."""
    return request.headers.get("Idempotency-Key")


def accepted(submitted: Submitted, prefix: str) -> Answer:
    """202: the task is taken; look at Location."""
    headers = {"Location": f"{prefix}/{submitted.task.task_id}"}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return TaskView.of(submitted.task), 202, headers


def tasks_blueprint(tasks: Tasks, documents: Documents, prefix: str) -> Blueprint:
    """What the owner of a task may do with it, below this path."""
    routes = Blueprint("tasks", __name__, url_prefix=prefix)

    @routes.get("/<task_id>")
    @accepts(answers=TaskView, problems=[NotLoggedIn, NoTask])
    def show(task_id: str) -> Answer:
        return TaskView.of(tasks.seen_by(require_login(), task_id))

    @routes.post("/<task_id>/cancellation")
    @accepts(answers=TaskView, problems=[NotLoggedIn, NoTask, Conflict])
    def cancel(task_id: str) -> Answer:
        """It is over, whatever its worker is at; one that had ended before stays as it is."""
        return TaskView.of(tasks.cancel(require_login(), task_id))

    @routes.get("/<task_id>/result")
    @accepts(problems=[NotLoggedIn, NoTask, NoResult])
    def result(task_id: str) -> Answer:
        """What the task made, as a file."""
        task = tasks.seen_by(require_login(), task_id)
        document = documents.find(task.document) if task.document else None
        if document is None:
            raise NoResult(f"It is {task.status}.", task_status=task.status)
        return Response(
            documents.read(document.document_id),
            mimetype=document.media_type,
            headers={
                "Content-Length": str(document.size),
                "Content-Disposition": f'attachment; filename="{document.name}"',
            },
        )

    return routes
