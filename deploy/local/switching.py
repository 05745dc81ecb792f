"""Changing the bus of a stack: only when nothing is on its way, so that no message stays behind on the old one.

First the front door closes, while the workers finish what was begun; timers may go on waiting, since they are no
messages. Then the readers' positions move to the end of every stream, in one step: from there on the new bus carries.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pika
import redis

from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.servers import rabbitmq_url, redis_url
from deploy.walls import ADMIN, WALLS
from deploy.walls_rabbit import PARTS
from sagashop import keys
from sagashop.rabbit.events import GROUP

Env = Mapping[str, str]
DRAIN_S = 60.0
RELAYED = ("events", "behaviour", "out")


def recorded(layout: Layout) -> str:
    """The bus that the data of this stack are of; empty where there are none yet."""
    file = layout.home / "bus"
    if file.exists():
        return file.read_text().strip()
    return "redis" if (layout.home / "redis-ledger" / "appendonlydir").exists() else ""


def record(layout: Layout, bus: str) -> None:
    (layout.home / "bus").write_text(f"{bus}\n")


def wait_until_empty(env: Env, old: str, within_s: float = DRAIN_S) -> list[str]:
    """What is still on its way on the old bus after so long; nothing, if all is well."""
    if already_moved(env, old):
        return []
    ends = time.monotonic() + within_s
    while (left := list(on_its_way(env, old))) and time.monotonic() < ends:
        time.sleep(0.5)
    return left


def already_moved(env: Env, old: str) -> bool:
    """An earlier attempt ended after the one step that counts, and before it could note that."""
    with redis.Redis.from_url(redis_url(env, "LEDGER", ADMIN), decode_responses=True) as ledger:
        return ledger.get(keys.bus(next(iter(PARTS)))) not in (None, old)


def refuse(old: str, new: str, left: list[str]) -> StackError:
    listed = "\n".join(f"  {line}" for line in left[:10])
    return StackError(
        f"BUS stays {old}, since there is still something on its way there:\n{listed}\n"
        f"  Let it finish with `make up BUS={old}` (see `sagashop streams lag` and `sagashop dlq list`), then start "
        f"again with BUS={new}."
    )


def on_its_way(env: Env, bus: str) -> Iterator[str]:
    """Messages of the old bus that nobody has handled yet, in words."""
    with redis.Redis.from_url(redis_url(env, "LEDGER", ADMIN), decode_responses=True) as ledger:
        for stream, group in _readers(bus):
            unread, pending = _waiting(ledger, stream, group)
            if unread or pending:
                yield f"{stream}, group {group}: {'unread entries' if unread else f'{pending} not acknowledged'}"
    if bus == "rabbitmq":
        yield from _queued(env)


def _readers(bus: str) -> list[tuple[str, str]]:
    """Each stream with the group by which this bus reads it."""
    if bus == "rabbitmq":
        return [(keys.stream(f"{service}.{purpose}"), GROUP) for service in PARTS for purpose in RELAYED]
    heard = [(keys.stream(channel), service) for service in PARTS for channel in WALLS[service].hears]
    return heard + [(keys.stream(f"{service}.commands"), service) for service in PARTS]


def _waiting(ledger: Any, stream: str, group: str) -> tuple[bool, int]:
    groups = ledger.xinfo_groups(stream) if ledger.exists(stream) else []
    known = next((each for each in groups if each["name"] == group), None)
    after = f"({known['last-delivered-id']}" if known else "-"
    return bool(ledger.xrange(stream, min=after, count=1)), int(known["pending"]) if known else 0


def _queued(env: Env) -> Iterator[str]:
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url(env)))
    try:
        for service, part in PARTS.items():
            for queue in part.queues:
                if queue.name.startswith(f"{service}.inbox"):
                    count = connection.channel().queue_declare(queue.name, passive=True).method.message_count
                    if count:
                        yield f"queue {queue.name}: {count} messages"
    finally:
        connection.close()


def move(env: Env, new: str) -> None:
    """Let the new bus begin at the end of every stream, and tell every service; one transaction. Nothing may run."""
    with redis.Redis.from_url(redis_url(env, "LEDGER", ADMIN), decode_responses=True) as ledger:
        streams = {stream for bus in ("redis", "rabbitmq") for stream, _ in _readers(bus)}
        there: dict[str, set[str]] = {
            stream: {group["name"] for group in ledger.xinfo_groups(stream)} if ledger.exists(stream) else set()
            for stream in streams
        }
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
        step.execute()
