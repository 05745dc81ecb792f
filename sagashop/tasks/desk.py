"""Tasks as the front door sees them: submitted, found, cancelled. Each is a few round trips to Redis, and no more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

import msgspec

from sagashop import keys, log
from sagashop.bus import Bus, GuardFailed
from sagashop.effects import Effects, Expect, Put
from sagashop.errors import Conflict, InvalidRequest, NotFound, Unavailable
from sagashop.messages import new_id
from sagashop.tasks.task import OPERATORS, Task, TaskMessage, cancelled, opened, task_from, task_key
from sagashop.web.auth import Who

KEEP_KEY_S = 86_400
MAX_KEY = 128
ROUNDS = 5


class NoTask(NotFound):
    kind, title = "no-task", "There is no such task of yours, or it ended over a day ago"


class BadTaskKey(InvalidRequest):
    kind, title = "bad-idempotency-key", "An Idempotency-Key has 1 to 128 printable ASCII characters"


class TaskKeyReused(InvalidRequest):
    kind, title = "idempotency-key-reused", "This Idempotency-Key belongs to a request that was not the same"


class Submitted(msgspec.Struct, frozen=True):
    """`replayed`: the key was known, and this is the task that was submitted under it."""

    task: Task
    replayed: bool = False


class Tasks:
    """The tasks of one service."""

    def __init__(self, bus: Bus, service: str) -> None:
        self._bus, self.service = bus, service

    def submit(self, make: Callable[[str], TaskMessage], owner: str, key: str | None = None) -> Submitted:
        """Commit a task's row and its message in one step; RabbitMQ is not asked, and may be away.

        make: the message, given the id of the task; the same request makes the same message
        key:  what the client calls this request; the same key finds the first task again, for a day

        Raises:
            BadTaskKey:    the key is empty, too long or not printable
            TaskKeyReused: the key belongs to a request with another content
            Unavailable:   redis-ledger does not answer, or is nearly full
        """
        task_id = new_id()
        effects = opened(self.service, make(task_id), owner)
        if key is None:
            self._bus.admit(self.service, effects, log.current("trace"))
            return Submitted(self._found(task_id))
        row, fingerprint = self._key_row(owner, key), _fingerprint(make(""))
        effects += _remember(row, task_id, fingerprint)
        with suppress(GuardFailed):
            self._bus.admit(self.service, effects, log.current("trace"))
            return Submitted(self._found(task_id))
        return Submitted(self._first(row, fingerprint), replayed=True)

    def find(self, task_id: str) -> Task | None:
        """The task, whoever asks. Raises: Unavailable."""
        row = task_key(self.service, task_id)
        return task_from(task_id, self._bus.load([row])[row])

    def seen_by(self, who: Who, task_id: str) -> Task:
        """The task, for its owner alone. Raises: NoTask, which does not tell whether there is one; Unavailable."""
        task = self.find(task_id)
        if task is None or task.owner not in _names(who):
            raise NoTask(f"Task {task_id[:64]} does not exist, is over for long, or is not yours.")
        return task

    def cancel(self, who: Who, task_id: str) -> Task:
        """The task, cancelled unless it is over already. A worker that is at it stops at its next sign of progress.

        Raises: NoTask; Unavailable
        """
        for _ in range(ROUNDS):
            task = self.seen_by(who, task_id)
            if not task.is_open:
                return task
            with suppress(GuardFailed):  # it began, or ended, just now: look again
                self._bus.admit(self.service, cancelled(self.service, task))
        raise Conflict("The task is moving on right now. Try again.")

    def _found(self, task_id: str) -> Task:
        task = self.find(task_id)
        if task is None:
            raise Unavailable(f"Task {task_id} was taken, and cannot be shown now.")
        return task

    def _first(self, row: str, fingerprint: str) -> Task:
        known = self._bus.load([row])[row]
        if not known:
            raise Conflict("The same task is being submitted elsewhere. Try again.")
        if known["fingerprint"] != fingerprint:
            raise TaskKeyReused("Send what was sent the first time, or choose a new key.")
        return self._found(known["task_id"])

    def _key_row(self, owner: str, key: str) -> str:
        if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            raise BadTaskKey
        return keys.own(self.service, "task-key", owner, key)


def _names(who: Who) -> set[str]:
    return {who.user_id, OPERATORS} if who.role == "operator" else {who.user_id}


def _fingerprint(message: TaskMessage) -> str:
    return hashlib.sha256(type(message).__name__.encode() + msgspec.json.encode(message)).hexdigest()


def _remember(row: str, task_id: str, fingerprint: str) -> Effects:
    fields: dict[str, str | int] = {"task_id": task_id, "fingerprint": fingerprint}
    return Effects(expect=[Expect(row, "task_id", None)], write=[Put(row, fields, ttl_s=KEEP_KEY_S)])
