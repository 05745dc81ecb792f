"""A toy service on a real Redis, one step at a time: it counts, fails or dies as its messages tell it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from redis.exceptions import RedisError

from sagashop import keys, redis_clients
from sagashop.effects import Add, ClearTimer, Effects, Expect, Put, SetTimer
from sagashop.handlers import Handlers
from sagashop.messages import Envelope, Message, new_id, now_ms
from sagashop.settings import Settings
from sagashop.streams.bus import RedisBus
from sagashop.streams.dead_letters import DeadLetters
from sagashop.streams.inbox import RedisInbox
from sagashop.worker import Worker
from tests.integration.rigs import sealed

COMMANDS, EVENTS, NEWS = keys.stream("toy.commands"), keys.stream("toy.events"), keys.stream("other.events")


class Count(Message):
    """`mood`: empty, `raise`, or `die`."""

    channel: ClassVar[str] = "toy.commands"
    name: str
    mood: str = ""


class Counted(Message):
    channel: ClassVar[str] = "toy.events"
    name: str


class Move(Message):
    """Guarded by a version, where Count is a bare increment."""

    channel: ClassVar[str] = "toy.commands"
    name: str


class News(Message):
    """Somebody else's event; it sets, answers or moves a timer."""

    channel: ClassVar[str] = "other.events"
    name: str
    after_s: float | None = None


class Tick(Message):
    channel: ClassVar[str] = "toy.timers"
    name: str


def row(name: str) -> str:
    return keys.own("toy", "row", name)


def handlers() -> Handlers:
    toy = Handlers(keys=lambda message: [row(message.name)], view=lambda message, rows: rows.get(row(message.name), {}))

    @toy.on(Count)
    def count(message: Count, _: Mapping[str, str]) -> Effects:
        if message.mood == "raise":
            raise ArithmeticError(f"{message.name} does not count")
        if message.mood == "die":
            os._exit(9)
        return Effects([Counted(message.name)], [Add(row(message.name), "n", 1)])

    @toy.on(Move)
    def move(message: Move, now: Mapping[str, str]) -> Effects:
        version = int(now.get("version", 0))
        return Effects(
            [Counted(message.name)],
            [Put(row(message.name), {"version": version + 1})],
            [Expect(row(message.name), "version", version or None)],
        )

    @toy.on(News)
    def hear(news: News, _: Mapping[str, str]) -> Effects:
        heard = [Add(row(news.name), "heard", 1)]
        if news.after_s is None:
            return Effects(write=[*heard], timers=[ClearTimer(Tick(news.name))])
        return Effects(write=[*heard], timers=[SetTimer(Tick(news.name), news.after_s)])

    @toy.on(Tick)
    def tick(tick: Tick, now: Mapping[str, str]) -> Effects:
        return Effects(write=[Add(row(tick.name), "ticks", 1), Put(row(tick.name), {"saw": now.get("heard", "0")})])

    return toy


class Toy:
    """The service's bus and as many workers as a test asks for."""

    def __init__(self, url: str, **settings: Any) -> None:
        given = {"visibility_s": 0.1, "max_deliveries": 3, "batch_size": 20} | settings
        self.settings = Settings(redis_ledger_url=url, **given)
        self.bus, self.redis = RedisBus(self.settings), redis_clients.ledger(self.settings)
        self.letters = DeadLetters(self.redis, "toy")
        self.inbox("maker").prepare()

    def inbox(self, name: str) -> RedisInbox:
        inbox = self.bus.inbox("toy", handlers(), name)
        assert isinstance(inbox, RedisInbox)
        return inbox

    def worker(self, name: str = "toy-1") -> Worker:
        return Worker(self.inbox(name), handlers(), self.settings)

    def tell(self, *messages: Message) -> None:
        self.bus.publish(sealed(messages))

    @staticmethod
    def fields(message: Message, **changes: str) -> Any:
        """Wire fields, mended or broken; typed for XADD."""
        return Envelope(message=message, id=new_id(), time_ms=now_ms(), producer="test").fields() | changes

    def work(self, worker: Worker | None = None, name: str = "toy-1") -> bool:
        """Step until nothing new comes; a broker error ends a step, as it ends a round of the loop. Always true."""
        worker = worker or self.worker(name)
        while True:
            try:
                if not worker.step(block_ms=5):
                    return True
            except RedisError:
                continue

    def row(self, name: str) -> dict[str, str]:
        found: Any = self.redis.hgetall(row(name))
        return dict(found)

    def pending(self, stream: str = COMMANDS) -> int:
        found: Any = self.redis.xpending(stream, "toy")
        return int(found["pending"])

    def deliveries(self, stream: str = COMMANDS) -> list[int]:
        """How often each pending entry was delivered, oldest first."""
        found: Any = self.redis.xpending_range(stream, "toy", "-", "+", 100)
        return [entry["times_delivered"] for entry in found]

    def counted(self) -> list[str]:
        """The names in the events that came out, oldest first."""
        return [json.loads(fields["data"])["name"] for _, fields in self.entries(EVENTS)]

    def entries(self, stream: str) -> list[tuple[str, dict[str, str]]]:
        found: Any = self.redis.xrange(stream)
        return list(found)
