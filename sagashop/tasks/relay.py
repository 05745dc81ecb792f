"""The relay: brings what a service commits on a channel of work to the RabbitMQ queue of the same name.

The stream of the channel is the outbox. An entry leaves it after the broker has confirmed it, so what stands there is
what is still to be sent. Delivery: at least once, since a relay that dies in between leaves entries to the next one;
the message keeps its id, and whoever works knows the task or the parcel.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import structlog
from redis.exceptions import RedisError

from sagashop import keys
from sagashop.errors import NotReachable
from sagashop.messages import new_id
from sagashop.rabbit.layout import work_exchange
from sagashop.rabbit.publisher import NotTaken, Outgoing, Publisher
from sagashop.streams import tail
from sagashop.streams.commit import Scripts, lua

if TYPE_CHECKING:
    from redis import Redis

BATCH, BLOCK_MS = 500, 500
LEASE_S, STAND_BY_S = 10, 1.0
LINGER_S = 0.04
"""After a batch, so that the next one gathers: long work does not mind."""
LONGEST_PAUSE_S = 2.0

log = structlog.get_logger()


class Relay:
    """One of the relays of a channel. They take turns: one holds the lease, the others stand by.

    blocking: a client whose socket timeout lies above the waits asked for
    """

    def __init__(self, service: str, channel: str, redis: Redis, blocking: Redis, publisher: Publisher) -> None:
        self._channel, self._exchange = channel, work_exchange(service)
        self._redis, self._blocking, self._publisher = redis, blocking, publisher
        self._stream, self._lock = keys.stream(channel), keys.own(service, "relay", channel)
        self._me, self._lease = new_id(), Scripts(redis, {"turn": lua("turn.lua")})

    def step(self, block_ms: int = BLOCK_MS) -> int | None:
        """Move what waits; how many messages that were, or None where it is another relay's turn.

        Raises:
            NotReachable, NotTaken: RabbitMQ does not answer, or has not such a queue; everything stays, and goes again
        """
        entries = tail.read(self._blocking, self._stream, "0-0", limit=BATCH, block_ms=block_ms)
        if not entries:
            return 0
        if not self._is_mine():
            return None
        self._publisher.publish([
            Outgoing(self._exchange, self._channel, msgspec.json.encode(fields), id=fields["id"], type=fields["type"])
            for _, fields in entries
        ])  # fmt: skip
        self._redis.xdel(self._stream, *[entry for entry, _ in entries])
        return len(entries)

    def _is_mine(self) -> bool:
        """Two that believe it at the same time, after a long pause of one, send twice, which does no harm."""
        return bool(self._lease.run("turn", [self._lock], [self._me, LEASE_S]))

    def run(self, stopping: threading.Event) -> None:
        """Relay until `stopping`; while Redis or RabbitMQ is away, wait, up to 2 s at a time."""
        pause_s = 0.1
        while not stopping.is_set():
            try:
                moved = self.step()
                if moved != 0:
                    stopping.wait(STAND_BY_S if moved is None else LINGER_S)
                pause_s = 0.1
            except (RedisError, OSError, NotReachable, NotTaken) as why:
                log.warning("work.not_relayed", channel=self._channel, error=str(why), again_in_s=pause_s)
                stopping.wait(pause_s)
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        self._publisher.close()
