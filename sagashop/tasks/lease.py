"""The lease on a task: of several workers that have its message, one works, and only that one's words count."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sagashop.errors import SagashopError
from sagashop.messages import new_id, now_ms
from sagashop.streams.commit import Scripts, lua
from sagashop.tasks.task import KEEP_ENDED_S, KEEP_OPEN_S, list_of, task_key

if TYPE_CHECKING:
    from redis import Redis

LONGEST_TEXT = 500


class Lost(SagashopError):
    """The task was cancelled, or has gone to another worker: stop, nobody waits for this result."""


class Lease:
    """A task in a worker's hands. `attempt` counts from 1 and includes this one; `noted` is what the row said before.

    Every method may raise redis.RedisError; none has an effect when the lease is lost.
    """

    def __init__(self, leases: Leases, task_id: str, holder: str, attempt: int, noted: str) -> None:
        self.task_id, self.attempt, self.noted = task_id, attempt, noted
        self._leases, self._holder = leases, holder
        self._lost = threading.Event()

    def renew(self) -> None:
        """Keep it; what is lost is noticed by the next `progress`."""
        if not self._write("tell", KEEP_OPEN_S):
            self._lost.set()

    def progress(self, percent: int, note: str = "") -> None:
        """Say how far it is. Raises: Lost."""
        told: dict[str, str | int] = {"progress": max(0, min(99, percent)), "note": note[:LONGEST_TEXT]}
        if self._lost.is_set() or not self._write("tell", KEEP_OPEN_S, **told):
            self._lost.set()
            raise Lost(f"task {self.task_id} is somebody else's, or cancelled")

    def succeed(self, result: str, document: str, note: str) -> bool:
        """The result is this; False where the lease is lost, so that nobody will ever see it."""
        return self._write("end", KEEP_ENDED_S, status="succeeded", progress=100, note=note[:LONGEST_TEXT],
                           result=result, document=document, ended_ms=now_ms())  # fmt: skip

    def fail(self, reason: str) -> bool:
        """It is over, without a result."""
        return self._write("end", KEEP_ENDED_S, status="failed", note="", reason=reason[:LONGEST_TEXT],
                           ended_ms=now_ms())  # fmt: skip

    def give_back(self, note: str, *, counted: bool) -> bool:
        """It waits for its next attempt; one that does not count was nobody's fault."""
        attempt = self.attempt if counted else self.attempt - 1
        return self._write("end", KEEP_OPEN_S, status="queued", note=note[:LONGEST_TEXT], attempt=attempt)

    def _write(self, what: str, keep_s: int, **fields: str | int) -> bool:
        words = [word for pair in fields.items() for word in pair]
        return bool(self._leases.run(self.task_id, what, self._holder, keep_s, *words)[0] == "mine")


class Leases:
    """Takes leases on the tasks of one service. A worker that does not renew for `lease_s` is taken for dead."""

    def __init__(self, service: str, redis: Redis, lease_s: float = 10.0) -> None:
        self._service, self.lease_s = service, lease_s
        self._scripts = Scripts(redis, {"lease": lua("lease.lua", package="sagashop.tasks")})

    def take(self, task_id: str) -> Lease | str:
        """The lease; or why not: `gone`, `held` by a worker that lives, or the status in which the task ended."""
        holder = new_id()  # a new one each time: also of two threads of one process only one can hold it
        why, *more = self.run(task_id, "take", holder, KEEP_OPEN_S, "started_ms", now_ms(), "note", "begins")
        return Lease(self, task_id, holder, *more) if why == "mine" else str(why)

    def run(self, task_id: str, what: str, holder: str, keep_s: int, *words: str | int) -> Any:
        """Call the script."""
        arguments = [what, holder, int(self.lease_s * 1000), keep_s, task_id, *words]
        return self._scripts.run("lease", lease_keys(self._service, task_id), arguments)


def lease_keys(service: str, task_id: str) -> list[str]:
    """What a script touches that changes how a task stands: its row, and the lists it may be on."""
    return [task_key(service, task_id), list_of(service, "open"), list_of(service, "failed")]
