"""Tasks as the audit counts them: by their rows, so it does not matter which queue or worker has their message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from sagashop.audit.facts import Check, Tally
from sagashop.audit.house import FAILED_TASKS
from sagashop.audit.rows import rows_by_id
from sagashop.tasks.task import OPEN, list_of, task_key

if TYPE_CHECKING:
    from redis import Redis

MANY = 100


class TasksUnderWay:
    """See `sagashop.audit.elsewhere.Elsewhere`."""

    name = "tasks"

    def __init__(self, service: str, redis: Redis) -> None:
        self._service, self._redis = service, redis

    def waiting(self) -> int:
        return sum(1 for _ in self._tasks("open", MANY))

    def checks(self, house: str) -> Iterator[Check]:
        under_way, failed = Tally("every task is over"), Tally(FAILED_TASKS)
        for task_id, row in self._tasks("open"):
            under_way.saw()
            under_way.found(f"{row['kind']} {task_id} is {row['status']}: {row.get('note', '')}")
        for task_id, row in self._tasks("failed"):
            failed.saw()
            failed.found(f"{row['kind']} {task_id}: {row.get('reason', '')}")
        yield under_way.check(house)
        yield failed.check(house)

    def _tasks(self, status: Literal["open", "failed"], limit: int = 0) -> Iterator[tuple[str, dict[str, str]]]:
        """Those on the list whose row is there and says the same. `limit`: of the list, the oldest; 0 for all."""
        listed: Any = self._redis.zrange(list_of(self._service, status), 0, limit - 1)
        wanted = OPEN if status == "open" else ("failed",)
        rows = rows_by_id(self._redis, listed, lambda task_id: task_key(self._service, task_id))
        return ((task_id, row) for task_id, row in rows if row.get("status") in wanted)
