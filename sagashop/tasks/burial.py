"""Brings what RabbitMQ has given up to the dead letters in Redis, so that one set of commands shows and replays all.

Delivery: a message is acknowledged to the broker after its letter is there, and a mark by its id tells that it is; so
there is one letter for each message, whatever dies in between. A replayed message has a new id. For messages of the
bus, which no task and no work queue knows, the mark is the fence of the service's workers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from redis.exceptions import RedisError

from sagashop import keys, redis_clients
from sagashop.bus import Delivery
from sagashop.messages import now_ms
from sagashop.rabbit.consumer import ATTEMPT, Back, Consumer, Received
from sagashop.rabbit.fence import Fence
from sagashop.rabbit.held import REMOTE, unpacked
from sagashop.rabbit.layout import dead_queue
from sagashop.streams.commit import Scripts, lua, straight
from sagashop.streams.dead_letters import letter_fields
from sagashop.tasks.lease import lease_keys
from sagashop.tasks.task import KEEP_DEAD_S

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.rabbit.topology import Topology
    from sagashop.settings import Settings

MARK_S = 7 * 86_400
PAUSE_S = 1.0
DIED = "given up: its worker died or was lost at every attempt"
TOLD = "it failed at every attempt; the shop looks into it"
"""What the owner of a task reads; why it failed is for the operator, who sees the letter."""

log = structlog.get_logger()


class Burial:
    """Takes the messages of the queue `<service>.dead`."""

    def __init__(self, service: str, redis: Redis, stopping: threading.Event) -> None:
        self._service, self._redis, self._stopping = service, redis, stopping
        self._scripts = Scripts(redis, {"bury": lua("bury.lua", package="sagashop.tasks")})
        self._fence = Fence(service, redis, straight)

    def handle(self, received: Received) -> None:
        """Keep one as a dead letter. While Redis is away it stays in its queue: there is nowhere else to go."""
        try:
            if REMOTE in received.id:
                self._bury_of_bus(received)
            else:
                self._bury(received)
        except RedisError as why:
            self._stopping.wait(PAUSE_S)
            raise Back(str(why)) from why

    def _bury_of_bus(self, received: Received) -> None:
        """Its id names its entry, and the fence of the service's workers knows it: it is committed, or a letter."""
        source, reason, attempts = _about(received)
        delivery = Delivery(source=source, entry=received.id, fields=unpacked(received.body), attempt=attempts)
        self._fence.bury(delivery, reason, "", "rabbitmq")

    def _bury(self, received: Received) -> None:
        source, reason, attempts = _about(received)
        fields = unpacked(received.body)
        letter = letter_fields(
            fields, source=source, entry=received.id, reason=reason, details=str(received.headers.get("traceback", "")),
            attempts=attempts, consumer="rabbitmq",
        )  # fmt: skip
        places = [keys.dead_letters(self._service), keys.own(self._service, "buried", received.id)]
        if task_id := _task_id(fields):
            places += lease_keys(self._service, task_id)
        if self._scripts.run("bury", places, [MARK_S, now_ms(), TOLD, KEEP_DEAD_S, task_id, *letter]):
            log.error("work.dead", queue=source, id=received.id, reason=reason)


def burial(service: str, settings: Settings, topology: Topology, stopping: threading.Event) -> Consumer:
    """What empties the queue `<service>.dead`. Several may run, in any process of the service: each does the same."""
    handle = Burial(service, redis_clients.ledger(settings), stopping).handle
    name = dead_queue(service).removeprefix(f"{service}.")
    return Consumer(settings.rabbitmq_url, service, name, handle, topology=topology)


def _about(received: Received) -> tuple[str, str, int]:
    """Where it stood, why it is dead, and how often it was tried."""
    told = received.headers
    source = str(told.get("source") or told.get("x-first-death-queue") or received.key)
    by_broker = f"{DIED} (RabbitMQ: {told.get('x-first-death-reason', 'unknown')})"
    reason, attempts = str(told.get("reason") or by_broker), told.get(ATTEMPT, 1)
    return source, reason, attempts if isinstance(attempts, int) else 1


def _task_id(fields: dict[str, str]) -> str:
    try:
        data: Any = msgspec.json.decode(fields.get("data", "{}"))
    except ValueError:
        return ""
    found = data.get("task_id", "") if isinstance(data, dict) else ""
    return found if isinstance(found, str) else ""
