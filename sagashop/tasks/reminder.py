"""Asks again for open tasks of which nothing was heard: RabbitMQ has lost its data, or a backup was restored.

Delivery: a copy of a message that is there after all does no harm. One worker holds the lease on the task, and who
comes when it is over drops its copy.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

from sagashop import keys
from sagashop.messages import new_id, now_ms
from sagashop.streams.commit import Scripts, lua
from sagashop.tasks.task import list_of, task_key

if TYPE_CHECKING:
    from redis import Redis

LOOK_EVERY_S = 15.0
LONGEST_PAUSE_S = 3600
BATCH = 200

log = structlog.get_logger()


class Reminder:
    """Looks after the tasks of a channel. Several of them share the work.

    quiet_s: so long nobody has begun a queued task, tried it again, or renewed the lease on a running one
    """

    def __init__(self, service: str, channel: str, redis: Redis, quiet_s: float) -> None:
        self._service, self._redis, self._quiet_s = service, redis, quiet_s
        self._open, self._outbox = list_of(service, "open"), keys.stream(channel)
        self._scripts = Scripts(redis, {"remind": lua("remind.lua", package="sagashop.tasks")})

    def step(self) -> list[str]:
        """Look at every open task whose time has come; the ids of those that were asked for again."""
        again = []
        while due := self._due():
            outcomes = {task_id: self._remind(task_id) for task_id in due}
            again += [task_id for task_id, outcome in outcomes.items() if outcome == "again"]
            if len(due) < BATCH or "outbox" in outcomes.values():
                break
        for task_id in again:
            log.warning("task.asked_again", task_id=task_id)
        return again

    def _due(self) -> list[str]:
        found: Any = self._redis.zrange(self._open, "-inf", now_ms(), byscore=True, offset=0, num=BATCH)
        return list(found)

    def _remind(self, task_id: str) -> str:
        places = [self._open, task_key(self._service, task_id), self._outbox]
        words = [task_id, int(self._quiet_s * 1000), LONGEST_PAUSE_S * 1000, new_id(), self._service]
        return str(self._scripts.run("remind", places, words))

    def run(self, stopping: threading.Event) -> None:
        """Look again and again until `stopping`; while Redis is away, wait."""
        while not stopping.wait(min(LOOK_EVERY_S, self._quiet_s / 2)):
            try:
                self.step()
            except RedisError as why:
                log.warning("tasks.not_looked_after", error=str(why))
