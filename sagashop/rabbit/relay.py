"""The relay: brings the entries of a service's own streams to the topic exchange, in their order.

Delivery: at least once. An entry is acknowledged after the broker has confirmed it, so a crash in between publishes it
again, under the same message id, which the fence of whoever commits it knows.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from redis.exceptions import RedisError, ResponseError

from sagashop import keys, redis_clients
from sagashop.errors import NotReachable
from sagashop.rabbit.events import CHANNEL, EVENTS, GROUP, routing_key
from sagashop.rabbit.publisher import NotTaken, Outgoing, Publisher

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.settings import Settings

log = structlog.get_logger()

BATCH, BLOCK_MS = 500, 500
STUCK_S = 1.0
ABANDONED_MS, LOOK_BACK_S = 15_000, 5.0
"""What another relay holds for so long goes out again: it is dead, or stands still. Twice does no harm."""
Entry = tuple[str, dict[str, str] | None]

_encode = msgspec.json.Encoder().encode


def make_group(redis: Redis, stream: str) -> None:
    """Make the group that is missing, from the stream's beginning, so that nothing sent before is lost."""
    try:
        redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def to_wire(source: str, entry: str, channel: str, fields: Mapping[str, str]) -> Outgoing:
    """An entry as a message. Its id names the entry, so that every copy of it has the same.

    The fields travel together as JSON, like the entry they were; AMQP headers would take ten times as long to pack.
    """
    kind = fields.get("type", "")
    told = channel.endswith(".commands")
    return Outgoing(EVENTS, routing_key(channel, kind), _packed(fields), id=f"{source}/{entry}", must=told)


def _packed(fields: Mapping[str, str]) -> bytes:
    try:
        return _encode(fields)
    except UnicodeEncodeError:  # foreign bytes; escaped, they come through unharmed
        return json.dumps(fields).encode()


class Relay:
    """One relay of one service. Several may run; then the order holds only within what each of them took."""

    def __init__(self, service: str, settings: Settings, consumer: str) -> None:
        own = [f"{service}.{purpose}" for purpose in ("events", "behaviour", "out")]
        self._sources = {keys.stream(channel): channel for channel in own}
        self._service, self._consumer = service, consumer
        self._redis, self._blocking = redis_clients.ledger(settings), redis_clients.blocking(settings)
        self._publisher = Publisher(settings.rabbitmq_url, f"{service} relay")
        self._look_back_at = 0.0

    def prepare(self) -> None:
        """Make the groups that are missing; entries that were on their way at the last stop go first."""
        for stream in self._sources:
            make_group(self._redis, stream)
        self._look_back_at = 0.0

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Publish what waits; how many entries that was.

        Raises:
            NotReachable: RabbitMQ does not answer; what it has not confirmed is published again
        """
        moved = 0
        if self._look_back_at <= time.monotonic():
            self._look_back_at = time.monotonic() + LOOK_BACK_S
            self._take_over()
            moved += self._publish_from("0", None)
        return moved + self._publish_from(">", block_ms)

    def _publish_from(self, position: str, block_ms: int | None) -> int:
        answer: Any = self._blocking.xreadgroup(
            GROUP, self._consumer, dict.fromkeys(self._sources, position), count=BATCH, block=block_ms
        )
        moved = sum(self._publish(stream, entries) for stream, entries in answer)
        if position != ">" and moved:
            self._look_back_at = 0.0  # there may be another page
        return moved

    def _publish(self, stream: str, entries: Sequence[Entry]) -> int:
        """Entries that the broker does not take, since a service's queue is missing, stay, and are tried again."""
        there = {entry_id: fields for entry_id, fields in entries if fields is not None}
        messages = {entry_id: self._message(stream, entry_id, fields) for entry_id, fields in there.items()}
        stuck = set[str]()
        try:
            self._publisher.publish(list(messages.values()))
        except NotTaken as why:
            stuck = {message.id for message in [*why.unroutable, *why.refused]}
            log.error("relay.stuck", service=self._service, stream=stream, error=str(why))
            self._look_back_at = time.monotonic() + STUCK_S
        done = [entry_id for entry_id, _ in entries if entry_id not in messages or messages[entry_id].id not in stuck]
        if done:
            self._redis.xack(stream, GROUP, *done)
        return len(done)

    def _message(self, stream: str, entry_id: str, fields: Mapping[str, str]) -> Outgoing:
        source = self._sources[stream]
        channel = fields.get(CHANNEL, f"{self._service}.commands") if source.endswith(".out") else source
        return to_wire(source, entry_id, channel, {name: text for name, text in fields.items() if name != CHANNEL})

    def _take_over(self) -> None:
        """What relays left behind that are gone: nobody may ever come again under their name."""
        for stream in self._sources:
            left: Any = self._redis.xpending_range(stream, GROUP, "-", "+", BATCH, idle=ABANDONED_MS)
            if left:
                ids = [entry["message_id"] for entry in left]
                self._redis.xclaim(stream, GROUP, self._consumer, ABANDONED_MS, ids)

    def run(self, stopping: threading.Event) -> None:
        """Relay until `stopping`; while Redis or RabbitMQ is away, wait, up to 2 s at a time."""
        delay_s, prepared = 0.1, False
        while not stopping.is_set():
            try:
                if not prepared:
                    self.prepare()
                    prepared = True
                self.step()
                delay_s = 0.1
            except (RedisError, OSError, NotReachable) as why:
                prepared = False
                log.warning("relay.waits", service=self._service, error=str(why), again_in_s=delay_s)
                stopping.wait(delay_s)
                delay_s = min(2.0, delay_s * 2)
        self.close()

    def close(self) -> None:
        self._publisher.close()
