"""What a task is, where it lies, and the effects that open, cancel and reopen it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from sagashop import keys
from sagashop.effects import Command, Effects, Enlist, Expect, Put, Rows, Strike
from sagashop.messages import Message, encode, new_id, now_ms

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
OPEN: tuple[Status, ...] = ("queued", "running")
KEEP_OPEN_S, KEEP_ENDED_S, KEEP_DEAD_S = 7 * 86_400, 86_400, 30 * 86_400
"""A row is kept so long after its last change: while open, ended, and failed with a dead letter to be replayed."""
OPERATORS = "role:operator"
"""The owner of what belongs to no one operator."""


class TaskMessage(Message):
    """Base of the messages that ask for a task; the row of that id tells how it stands."""

    task_id: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task as its row tells it; times in milliseconds since 1970, None where it has not come so far.

    owner:    who may see it: a user's id, or `role:operator`
    progress: percent
    note:     what it is at, or what went wrong with the last attempt
    result:   where the result is, once it succeeded
    reason:   why it failed
    attempt:  how often a worker began it
    document: the stored result (sagashop.tasks.documents)
    """

    task_id: str
    kind: str
    owner: str
    status: Status
    created_ms: int
    progress: int = 0
    note: str = ""
    result: str | None = None
    reason: str | None = None
    attempt: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    document: str = ""

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


def task_key(service: str, task_id: str) -> str:
    return keys.own(service, "task", task_id)


def list_of(service: str, status: Literal["open", "failed"]) -> str:
    """Sorted set of the ids of tasks that are not over, by when to look after them (see `Reminder`), or that failed;
    some of them may have expired since.
    """
    return keys.own(service, "tasks", status)


def task_from(task_id: str, row: Mapping[str, str]) -> Task | None:
    """The task in its row; None where there is none (any more)."""
    return msgspec.convert({"task_id": task_id, **row}, Task, strict=False) if row else None


def opened(service: str, message: TaskMessage, owner: str) -> Effects:
    """A new task, and the message that asks for it. The id must be new.

    The row holds the message, too, so that it can be sent again (see `Reminder`).
    """
    row = task_key(service, message.task_id)
    fields: dict[str, str | int] = {
        "kind": type(message).__name__, "owner": owner, "status": "queued", "created_ms": now_ms(), "progress": 0,
        "note": "waits for a worker", "version": message.version, "data": encode(message),
    }  # fmt: skip
    return Effects(
        expect=[Expect(row, "status", None)],
        write=[
            Put(row, fields, ttl_s=KEEP_OPEN_S),
            Enlist(list_of(service, "open"), message.task_id, KEEP_OPEN_S),
        ],
        emit=[Command(message, id=message.task_id)],
    )


def cancelled(service: str, task: Task) -> Effects:
    """An open task is over. Without `holder`, what its worker still says or makes of it has no effect."""
    row = task_key(service, task.task_id)
    fields: dict[str, str | int] = {"status": "cancelled", "holder": "", "note": "", "ended_ms": now_ms()}
    off = Strike(list_of(service, "open"), task.task_id)
    return Effects(expect=[Expect(row, "status", task.status)], write=[Put(row, fields, ttl_s=KEEP_ENDED_S), off])


def reopened(service: str, message: Message, rows: Rows) -> Effects:
    """A dead letter is replayed: its message goes to the queue again, under a new id, and its task waits again.

    The row keeps the message as it is now: it may have been mended. A task that has not failed, or whose row is gone,
    is not touched, and the worker will drop its message.
    """
    again = Effects(emit=[Command(message, id=new_id())])
    if not isinstance(message, TaskMessage):
        return again
    row = task_key(service, message.task_id)
    if rows[row].get("status") != "failed":
        return again
    fields: dict[str, str | int] = {
        "status": "queued", "attempt": 0, "progress": 0, "note": "waits for a worker", "reason": "",
        "version": message.version, "data": encode(message),
    }  # fmt: skip
    moved = (
        Strike(list_of(service, "failed"), message.task_id),
        Enlist(list_of(service, "open"), message.task_id, KEEP_OPEN_S),
    )
    return again + Effects(
        expect=[Expect(row, "status", "failed")], write=[Put(row, fields, ttl_s=KEEP_OPEN_S), *moved]
    )
