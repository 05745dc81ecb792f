"""Changing the bus of a stack: only when nothing is on its way, so that no message stays behind on the old one.

First the web processes stop, while the workers finish what was begun; timers may go on waiting, since they are no
messages. Then the readers' positions move to the end of every stream, in one step: from there on the new bus carries.

Both run modes change it so. Where the servers cannot be reached from outside, a container asks and moves
(deploy/compose/bus.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import pika
import redis
from pika.exceptions import AMQPError

from deploy.local.errors import StackError
from deploy.walls import WALLS
from deploy.walls_rabbit import PARTS
from sagashop import keys
from sagashop.rabbit.events import GROUP, inbox_queue

DRAIN_S = 60.0
EVERY_S = 0.5
RELAYED = ("events", "behaviour", "out")
CARRIER = keys.bus(next(iter(PARTS)))
"""The key in redis-ledger that says which bus the data are of; it is the same for every service."""


class Site(Protocol):
    """A stack that runs, or the servers of one that does not."""

    def close_door(self) -> None:
        """Let no request through any more, which Nginx tells whoever comes; workers go on."""

    def stop_workers(self) -> None:
        """Nothing of ours runs any more."""

    def open_again(self) -> None:
        """Start again what these two have stopped."""

    def left(self, bus: str, within_s: float) -> list[str]:
        """See `wait_until_empty`."""

    def move(self, new: str) -> None:
        """See `move`."""


def change(site: Site, old: str, new: str, drain_s: float) -> None:
    """Drain the old bus and move to the new one; afterwards nothing of ours runs.

    Raises: StackError when something is still on its way after so long; then all runs as before.
    """
    try:
        site.close_door()
        left = site.left(old, drain_s)
        if not left:
            site.stop_workers()
            left = site.left(old, 0)
        if left:
            raise refused(old, new, left)
        site.move(new)
    except BaseException:
        site.open_again()
        raise


def refused(old: str, new: str, left: list[str]) -> StackError:
    listed = "\n".join(f"  {line}" for line in left[:10])
    return StackError(
        f"BUS stays {old}, since there is still something on its way there:\n{listed}\n"
        f"  Let it finish with `make up BUS={old}` (see `sagashop streams lag` and `sagashop dlq list`), then start "
        f"again with BUS={new}."
    )


class Servers(NamedTuple):
    """Addresses with the log-ins of the administrators."""

    ledger: str
    rabbitmq: str


def carrier(servers: Servers) -> str:
    """The bus that the data are of; empty where there are none yet."""
    with _ledger(servers) as ledger:
        found: Any = ledger.get(CARRIER)
        return str(found or "")


def wait_until_empty(servers: Servers, old: str, within_s: float) -> list[str]:
    """What is still on its way on the old bus after so long; nothing, if all is well."""
    if carrier(servers) not in ("", old):
        return []  # an earlier attempt ended after the one step that counts, and before it could note that
    ends = time.monotonic() + within_s
    while (left := list(on_its_way(servers, old))) and time.monotonic() < ends:
        time.sleep(EVERY_S)
    return left


def on_its_way(servers: Servers, bus: str) -> Iterator[str]:
    """Messages of the old bus that nobody has handled yet, in words."""
    with _ledger(servers) as ledger:
        for stream, group in _readers(bus):
            unread, pending = _waiting(ledger, stream, group)
            if unread or pending:
                yield f"{stream}, group {group}: {'unread entries' if unread else f'{pending} not acknowledged'}"
    if bus == "rabbitmq":
        yield from _queued(servers)


def _ledger(servers: Servers) -> redis.Redis:
    return redis.Redis.from_url(servers.ledger, decode_responses=True)


def _readers(bus: str) -> list[tuple[str, str]]:
    """Each stream with the group by which this bus reads it."""
    if bus == "rabbitmq":
        return [(stream, GROUP) for stream in relayed()]
    heard = [(keys.stream(channel), service) for service in PARTS for channel in WALLS[service].hears]
    return heard + [(keys.stream(f"{service}.commands"), service) for service in PARTS]


def relayed() -> list[str]:
    """The streams that are the outboxes of the RabbitMQ bus."""
    return [keys.stream(f"{service}.{purpose}") for service in PARTS for purpose in RELAYED]


def _waiting(ledger: Any, stream: str, group: str) -> tuple[bool, int]:
    groups = ledger.xinfo_groups(stream) if ledger.exists(stream) else []
    known = next((each for each in groups if each["name"] == group), None)
    after = f"({known['last-delivered-id']}" if known else "-"
    return bool(ledger.xrange(stream, min=after, count=1)), int(known["pending"]) if known else 0


def _queued(servers: Servers) -> Iterator[str]:
    """What a worker has in its hands is not seen here; once the workers have stopped, it lies in the queue again."""
    try:
        connection = pika.BlockingConnection(pika.URLParameters(servers.rabbitmq))
    except (AMQPError, OSError) as why:
        yield f"RabbitMQ does not say what waits there ({type(why).__name__})"
        return
    try:
        for service, part in PARTS.items():
            for queue in part.queues:
                if queue.name.startswith(inbox_queue(service)):
                    count = connection.channel().queue_declare(queue.name, passive=True).method.message_count
                    if count:
                        yield f"queue {queue.name}: {count} messages"
    finally:
        connection.close()


def move(servers: Servers, new: str) -> None:
    """Let the new bus begin at the end of every stream, and tell every service; one transaction. Nothing may run."""
    with _ledger(servers) as ledger:
        streams = {stream for bus in ("redis", "rabbitmq") for stream, _ in _readers(bus)}
        there: dict[str, set[str]] = {
            stream: {group["name"] for group in ledger.xinfo_groups(stream)} if ledger.exists(stream) else set()
            for stream in streams
        }
        clock: Any = ledger.time()
        step = ledger.pipeline(transaction=True)
        for stream, group in _readers("redis" if new == "rabbitmq" else "rabbitmq"):
            if group in there[stream]:
                step.xgroup_destroy(stream, group)
        for stream, group in _readers(new):
            if group in there[stream]:
                step.xgroup_setid(stream, group, "$")
            else:
                step.xgroup_create(stream, group, id="$", mkstream=True)
        for service in PARTS:
            step.set(keys.bus(service), new)
            step.set(keys.moved(service), clock[0] * 1000 + clock[1] // 1000)
        step.execute()
