"""The bus on RabbitMQ: state stays in redis-ledger, and messages between services travel through the topic exchange.

What a service emits is appended to its own streams, in the same atomic step as its state: they are the outbox. A relay
publishes their entries and acknowledges each after the broker's confirmation. A worker commits what it takes from its
queue behind a fence in Redis, and acknowledges it to the broker afterwards. Delivery: at least once to the handler,
exactly once in effect, as on Redis Streams.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sagashop import keys, redis_clients
from sagashop.rabbit.events import CHANNEL, GROUP
from sagashop.streams.bus import RedisBus
from sagashop.streams.retention import trimmer

if TYPE_CHECKING:
    from sagashop.handlers import Handlers
    from sagashop.messages import Envelope
    from sagashop.rabbit.inbox import RabbitInbox


def outbox(service: str, envelope: Envelope) -> tuple[str, dict[str, str]]:
    """A service's own channels are its own streams; what it tells others waits in one stream, with its channel."""
    channel = envelope.message.channel
    if channel.startswith(f"{service}."):
        return keys.stream(channel), envelope.fields()
    return keys.outgoing(service), {**envelope.fields(), CHANNEL: channel}


class RabbitBus(RedisBus):
    """See `sagashop.bus.Bus`. The front door writes to Redis only: a web process needs no connection to RabbitMQ."""

    outlet = staticmethod(outbox)

    def inbox(self, service: str, handlers: Handlers, consumer: str) -> RabbitInbox:
        from sagashop.rabbit.inbox import RabbitInbox  # here, so that a web process loads no pika

        return RabbitInbox(
            service, handlers, consumer or socket.gethostname(),
            redis=self.redis, blocking=redis_clients.blocking(self._settings), settings=self._settings, outlet=outbox,
        )  # fmt: skip

    def beside(self, service: str, consumer: str) -> Sequence[Callable[[threading.Event], None]]:
        from sagashop.rabbit.layout import service_part
        from sagashop.rabbit.relay import Relay
        from sagashop.tasks.burial import burial

        def bury(stopping: threading.Event) -> None:
            burial(service, self._settings, service_part(service), stopping).run(stopping)

        relay = Relay(service, self._settings, consumer or socket.gethostname())
        trim = trimmer(self._settings, [f"{service}.out"], groups=[GROUP])
        return relay.run, trim, bury
