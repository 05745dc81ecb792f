"""Brings what RabbitMQ has set aside to the service's dead letters in Redis, where `sagashop dlq` shows it.

Delivery: at least once. A letter is acknowledged after Redis has it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from sagashop import keys, redis_clients
from sagashop.errors import NotReachable
from sagashop.rabbit.consumer import ATTEMPT
from sagashop.rabbit.held import unpacked
from sagashop.rabbit.layout import dead_queue, service_part
from sagashop.rabbit.prefetch import Fetched, Prefetch
from sagashop.rabbit.topology import declare
from sagashop.streams.dead_letters import letter_fields

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.settings import Settings

log = structlog.get_logger()
WAIT_S, CONNECT_S, AT_A_TIME = 0.5, 2.0, 20


def mover(settings: Settings, service: str) -> Callable[[threading.Event], None]:
    """A loop that empties the queue `<service>.dead` until its event is set; for a worker's `beside`."""

    def loop(stopping: threading.Event) -> None:
        url, name = settings.rabbitmq_url, f"{service} dead letters"
        redis = redis_clients.ledger(settings)
        queue = Prefetch(
            url, name, dead_queue(service), AT_A_TIME, before=lambda: declare(url, name, service_part(service))
        )
        while not stopping.is_set():
            try:
                queue.start(CONNECT_S)
                for fetched in queue.take(AT_A_TIME, WAIT_S):
                    _insist(redis, service, fetched, stopping)
                    queue.done([fetched.ticket])
            except (NotReachable, _Stopped):
                stopping.wait(WAIT_S)  # the connection says so itself, and comes back
        queue.close()

    return loop


class _Stopped(Exception):
    """The process ends; the letter stays in its queue."""


def _insist(redis: Redis, service: str, fetched: Fetched, stopping: threading.Event) -> None:
    """Given back to the queue, a letter would count as returned; so it is held until Redis answers."""
    while not stopping.is_set():
        try:
            _bury(redis, service, fetched)
            return
        except (RedisError, OSError) as why:
            log.warning("dead_letter.waits", service=service, error=str(why))
            stopping.wait(1.0)
    raise _Stopped


def _bury(redis: Redis, service: str, fetched: Fetched) -> None:
    headers = fetched.properties.headers or {}
    source = str(headers.get("source") or headers.get("x-first-death-queue") or dead_queue(service))
    reason = str(headers.get("reason") or f"RabbitMQ set it aside: {headers.get('x-first-death-reason', 'unknown')}")
    attempt = headers.get(ATTEMPT, 1)
    pairs = letter_fields(
        unpacked(fetched.body), source=source, entry=str(fetched.properties.message_id or ""), reason=reason,
        details=str(headers.get("traceback", "")), attempts=attempt if isinstance(attempt, int) else 1,
        consumer=f"{service} dead letters",
    )  # fmt: skip
    redis.xadd(keys.dead_letters(service), dict(zip(pairs[::2], pairs[1::2], strict=True)))
    log.error("entry.dead", stream=source, entry=fetched.properties.message_id, reason=reason)
