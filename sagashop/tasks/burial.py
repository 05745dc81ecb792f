"""Brings what RabbitMQ has given up to the dead letters in Redis, so that one set of commands shows and replays all.

Delivery: a message is acknowledged to the broker after its letter is there, and a mark by its id tells that it is; so
there is one letter for each message, whatever dies in between. A replayed message has a new id.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from redis.exceptions import RedisError

from sagashop import keys
from sagashop.messages import now_ms
from sagashop.rabbit.consumer import ATTEMPT, Back, Received
from sagashop.streams.commit import Scripts, lua
from sagashop.streams.dead_letters import letter_fields
from sagashop.tasks.task import KEEP_DEAD_S, task_key

if TYPE_CHECKING:
    from redis import Redis

MARK_S = 7 * 86_400
PAUSE_S = 1.0
DIED = "given up: its worker died or was lost at every attempt"
TOLD = "it failed at every attempt; the shop looks into it"
"""What the owner of a task reads; why it failed is for the operator, who sees the letter."""

log = structlog.get_logger()


class Burial:
    """Takes the messages of the queue `<service>.dead`."""

    def __init__(self, service: str, redis: Redis, stopping: threading.Event) -> None:
        self._service, self._stopping = service, stopping
        self._scripts = Scripts(redis, {"bury": lua("bury.lua", package="sagashop.tasks")})

    def handle(self, received: Received) -> None:
        """Keep one as a dead letter. While Redis is away it stays in its queue: there is nowhere else to go."""
        try:
            self._bury(received)
        except RedisError as why:
            self._stopping.wait(PAUSE_S)
            raise Back(str(why)) from why

    def _bury(self, received: Received) -> None:
        told, fields = received.headers, _wire(received)
        source = str(told.get("source") or told.get("x-first-death-queue") or received.key)
        reason, attempts = str(told.get("reason") or DIED), told.get(ATTEMPT, 1)
        letter = letter_fields(
            fields, source=source, entry=received.id, reason=reason, details=str(told.get("traceback", "")),
            attempts=attempts if isinstance(attempts, int) else 1, consumer="rabbitmq",
        )  # fmt: skip
        places = [keys.dead_letters(self._service), keys.own(self._service, "buried", received.id)]
        if task_id := _task_id(fields):
            places.append(task_key(self._service, task_id))
        if self._scripts.run("bury", places, [MARK_S, now_ms(), TOLD, KEEP_DEAD_S, *letter]):
            log.error("work.dead", queue=source, id=received.id, reason=reason)


def _wire(received: Received) -> dict[str, str]:
    """The fields that a worker reads; what is none of ours is kept as it came."""
    try:
        return msgspec.json.decode(received.body, type=dict[str, str])
    except (ValueError, UnicodeError):
        return {"type": received.type, "id": received.id, "body": received.body.decode(errors="surrogateescape")}


def _task_id(fields: dict[str, str]) -> str:
    try:
        data: Any = msgspec.json.decode(fields.get("data", "{}"))
    except ValueError:
        return ""
    found = data.get("task_id", "") if isinstance(data, dict) else ""
    return found if isinstance(found, str) else ""
