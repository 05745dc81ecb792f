"""The relay of the phones: carries the outbox to RabbitMQ, in its order. It runs beside the worker, one at a time.

Delivery: at least once. What stands in the outbox is not done yet; an entry goes out of it when RabbitMQ has confirmed.
After a crash in between it is done again: queues are declared and deleted idempotently, and a phone knows a message it
has had by its number. Two relays at once, after a lease that ran out too early, would do no more harm than that.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import structlog
from msgspec import json
from pika.exceptions import AMQPError
from redis.exceptions import RedisError

from sagashop import keys, redis_clients
from sagashop.errors import MalformedMessage, NotReachable
from sagashop.messages import Catalogue, Envelope
from sagashop.rabbit.connection import not_reachable, short_channel
from sagashop.rabbit.publisher import NotTaken, Outgoing, Publisher
from sagashop.rabbit.topology import Mismatch, declare, declare_all
from sagashop.streams import tail
from sagashop.streams.commit import Scripts, lua
from sagashop.streams.dead_letters import letter_fields
from services.notifications import store
from services.notifications.messages import CHANNEL, AddQueue, RemoveQueue, Tell, TellAll
from services.notifications.mobile import BROADCAST, DIRECT, EXCHANGES, Direct, ToAll, device_part, device_queue
from services.notifications.settings import NotificationsSettings

log = structlog.get_logger()
BATCH = 500
BLOCK_MS = 500
PAUSE_S = 1.0
CONFIRM_WITHIN_S = 10.0
LEASE_S = 15
WHO = "notifications relay"


class Relay:
    """Carries out the outbox; `run` survives outages of both servers.

    name: stable and different for each worker, so that one that is started anew goes on at once
    """

    def __init__(self, settings: NotificationsSettings, name: str) -> None:
        self._settings, self._name, self._batch = settings, name, BATCH
        self._stream = keys.stream(CHANNEL)
        self._redis, self._blocking = redis_clients.ledger(settings), redis_clients.blocking(settings)
        self._lease = Scripts(self._redis, {"turn": lua("turn.lua")})
        self._catalogue = Catalogue([AddQueue, RemoveQueue, Tell, TellAll])
        self._publisher = Publisher(settings.rabbitmq_url, WHO)

    def run(self, stopping: threading.Event) -> None:
        """Relay until `stopping`. While RabbitMQ is away the outbox waits, and only its newest entries are kept."""
        while not stopping.is_set():
            try:
                if not self._is_mine():
                    stopping.wait(PAUSE_S)
                    continue
                self.step()
                self._batch = min(BATCH, self._batch * 2)
            except (NotReachable, NotTaken, RedisError, OSError) as why:
                log.warning("relay.waits", error=str(why), batch=self._batch)
                self._batch = max(1, self._batch // 2)  # so large a batch may have been what took too long
                self._bound_outbox()
                stopping.wait(PAUSE_S)
        self._publisher.close()
        self._let_go()

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Carry out the oldest entries, waiting for the first up to `block_ms`; how many there were.

        Raises:
            NotReachable: RabbitMQ does not answer; nothing has left the outbox
            NotTaken:     a queue refused; nothing has left the outbox
        """
        entries = tail.read(self._blocking, self._stream, "0-0", limit=self._batch, block_ms=block_ms)
        envelopes = [envelope for entry in entries if (envelope := self._open(*entry))]
        for kind, group in groupby(envelopes, key=_kind):
            {"add": self._add_queues, "remove": self._remove_queues, "tell": self._tell}[kind](list(group))
        if entries:
            self._redis.xdel(self._stream, *[entry_id for entry_id, _ in entries])
        return len(entries)

    def _open(self, entry_id: str, fields: dict[str, str]) -> Envelope | None:
        """An entry that nobody can read becomes a dead letter; it would hold up all that stand behind it."""
        try:
            return self._catalogue.open(fields)
        except MalformedMessage as wrong:
            pairs: Any = letter_fields(
                fields, source=self._stream, entry=entry_id, reason=f"malformed: {wrong}",
                details=traceback.format_exc(), attempts=1, consumer="relay",
            )  # fmt: skip
            self._redis.xadd(keys.dead_letters(store.SERVICE), dict(zip(pairs[::2], pairs[1::2], strict=True)))
            log.error("entry.dead", stream=self._stream, entry=entry_id, reason=str(wrong))
            return None

    def _add_queues(self, envelopes: Sequence[Envelope]) -> None:
        parts = [device_part(m.device_id, m.customer_id) for m in _messages(envelopes)]
        try:
            declare(self._settings.rabbitmq_url, WHO, EXCHANGES)
            declare_all(self._settings.rabbitmq_url, WHO, parts)
        except Mismatch as difference:  # an older version made it with limits of its own; it is there and bound
            log.warning("relay.queue_differs", difference=str(difference))

    def _remove_queues(self, envelopes: Sequence[Envelope]) -> None:
        url = self._settings.rabbitmq_url
        with short_channel(url, WHO) as channel:
            try:
                for message in _messages(envelopes):
                    channel.queue_delete(device_queue(message.device_id))
            except (AMQPError, OSError) as why:
                raise not_reachable(url, why) from why

    def _tell(self, envelopes: Sequence[Envelope]) -> None:
        try:
            self._publisher.publish([_outgoing(envelope) for envelope in envelopes], CONFIRM_WITHIN_S)
        except NotTaken as told:
            if told.refused:
                raise
            log.info("relay.nobody_there", messages=len(told.unroutable))  # every device is gone, or its queue expired

    def _is_mine(self) -> bool:
        return bool(self._lease.run("turn", [store.lease_key()], [self._name, LEASE_S]))

    def _let_go(self) -> None:
        with suppress(RedisError, OSError):
            if self._redis.hget(store.lease_key(), "holder") == self._name:
                self._redis.delete(store.lease_key())

    def _bound_outbox(self) -> None:
        """A long outage must not fill the memory that orders need: phones fetch what is dropped here."""
        with suppress(RedisError, OSError):
            self._redis.xtrim(self._stream, maxlen=self._settings.phone_outbox_length, approximate=True)


def _kind(envelope: Envelope) -> str:
    return {AddQueue: "add", RemoveQueue: "remove"}.get(type(envelope.message), "tell")


def _messages(envelopes: Sequence[Envelope]) -> list[Any]:
    return [envelope.message for envelope in envelopes]


def _outgoing(envelope: Envelope) -> Outgoing:
    headers = {"traceparent": envelope.trace} if envelope.trace else {}
    match envelope.message:
        case Tell(customer_id=customer_id, notice=notice):
            return Outgoing(DIRECT, customer_id, json.encode(Direct.of(notice)), id=envelope.id, headers=headers)
        case TellAll(broadcast=broadcast):
            return Outgoing(BROADCAST, "", json.encode(ToAll.of(broadcast)), id=envelope.id, headers=headers)
        case other:
            raise TypeError(f"{type(other).__name__} is not a message to phones")
