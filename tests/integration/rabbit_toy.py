"""The toy service on the RabbitMQ bus: a real Redis, a real RabbitMQ, its relay, one step at a time."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from sagashop import keys, redis_clients
from sagashop.bus import Inbox
from sagashop.errors import NotReachable
from sagashop.messages import Message
from sagashop.rabbit.bus import RabbitBus
from sagashop.rabbit.events import bus_part, inbox_queue
from sagashop.rabbit.relay import Relay
from sagashop.rabbit.topology import declare
from sagashop.settings import Settings
from sagashop.streams.dead_letters import DeadLetters
from sagashop.worker import Worker
from tests.integration import toy
from tests.integration.rigs import sealed
from tests.rabbit import RabbitServer

BLOCK_MS = 100
"""A message needs a moment through the broker; on Redis it is there at once."""


class RabbitToy:
    """Messages of tests come from a producer of its own, `test`, whose relay this moves, too."""

    def __init__(self, server: RabbitServer, ledger: str, **settings: Any) -> None:
        given = {"visibility_s": 0.1, "max_deliveries": 3, "batch_size": 20} | settings
        self.server = server
        self.settings = Settings(redis_ledger_url=ledger, bus="rabbitmq", rabbitmq_url=server.url(), **given)
        self.topology = bus_part("toy", toy.handlers().types)
        self.forget()
        declare(server.url(), "test", self.topology)
        self.bus, self.redis = RabbitBus(self.settings), redis_clients.ledger(self.settings)
        self.letters = DeadLetters(self.redis, "toy")
        self.relays = [Relay(service, self.settings, "relay-1") for service in ("test", "toy", "other")]
        for relay in self.relays:
            relay.prepare()
        self._open: list[Inbox] = []

    def inbox(self, name: str = "toy-1") -> Inbox:
        self._open.append(self.bus.inbox("toy", toy.handlers(), name))
        self._open[-1].prepare()
        return self._open[-1]

    def worker(self, name: str = "toy-1") -> Worker:
        return Worker(self.inbox(name), toy.handlers(), self.settings)

    def tell(self, *messages: Message) -> None:
        """Send, and wait until the broker has it."""
        self.bus.publish(sealed(messages))
        self.relay()

    def write(self, channel: str, fields: Any) -> str:
        """A bare entry in the outbox of `test`, whatever it holds."""
        entry: Any = self.redis.xadd(keys.outgoing("test"), {**fields, "channel": channel})
        self.relay()
        return f"test.out/{entry}"

    def outbox(self) -> list[tuple[str, dict[str, str]]]:
        """What `test` has told others."""
        found: Any = self.redis.xrange(keys.outgoing("test"))
        return list(found)

    def relay(self) -> None:
        for relay in self.relays:
            while relay.step(1):
                pass

    def work(self, worker: Worker, for_s: float = 0.2) -> bool:
        """Step until nothing has come for so long. Always true."""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < for_s:
            with suppress(RedisError, NotReachable):
                self.relay()
                if worker.step(block_ms=BLOCK_MS):
                    quiet_since = time.monotonic()
        return True

    def row(self, name: str) -> dict[str, str]:
        found: Any = self.redis.hgetall(toy.row(name))
        return dict(found)

    def counted(self) -> int:
        return int(self.redis.xlen(toy.EVENTS))

    def waiting(self) -> int:
        """Messages in the queue and its delay queues that nobody has in hand."""
        return sum(self.server.depth(queue.name) for queue in self.topology.queues if "inbox" in queue.name)

    def forget(self) -> None:
        with suppress(Exception), self.server.channel() as channel:
            for queue in self.topology.queues:
                channel.queue_delete(queue.name)

    def close(self) -> None:
        for inbox in self._open:
            inbox.close()
        for relay in self.relays:
            relay.close()
        self.forget()


QUEUE = inbox_queue("toy")
