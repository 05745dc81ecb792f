"""The bus on Redis Streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from sagashop import redis_clients
from sagashop.bus import GuardFailed, Inbox
from sagashop.errors import Unavailable
from sagashop.streams import commit
from sagashop.streams.commit import (
    Compiled,
    Keys,
    Outlet,
    Scripts,
    append,
    compile_effects,
    load_rows,
    packed,
    straight,
)
from sagashop.streams.inbox import RedisInbox

if TYPE_CHECKING:
    from sagashop.effects import Effects, Rows
    from sagashop.handlers import Handlers
    from sagashop.messages import Envelope
    from sagashop.settings import Settings


class RedisBus:
    """See `sagashop.bus.Bus`. One per process; its clients' pools are thread-safe."""

    outlet: Outlet = staticmethod(straight)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.redis = redis_clients.ledger(settings)
        self._scripts = Scripts(self.redis)

    def inbox(self, service: str, handlers: Handlers, consumer: str) -> Inbox:
        return RedisInbox(
            service, handlers.channels, consumer,
            redis=self.redis, blocking=redis_clients.blocking(self._settings), settings=self._settings,
        )  # fmt: skip

    def admit(self, service: str, effects: Effects, trace: str = "") -> None:
        places = Keys()
        self._admit(places, compile_effects(effects, places, service=service, trace=trace, outlet=self.outlet))

    def finish(self, service: str, effects: Effects, trace: str = "") -> None:
        places = Keys()
        compiled = compile_effects(effects, places, service=service, trace=trace, outlet=self.outlet)
        self._run("finish", places, [packed(compiled)])

    def _admit(self, places: Keys, compiled: Compiled) -> None:
        self._run("admit", places, [self._settings.admit_memory_percent, packed(compiled)])

    def _run(self, script: str, places: Keys, arguments: Sequence[object]) -> None:
        try:
            answer = self._scripts.run(script, list(places), arguments)
        except OutOfMemoryError as error:
            raise Unavailable("redis-ledger has no memory left for new work", retry_after_s=5) from error
        except ResponseError:
            raise
        except RedisError as error:
            raise Unavailable("redis-ledger does not answer") from error
        if answer == commit.FULL:
            raise Unavailable("redis-ledger is nearly full; work in progress goes first", retry_after_s=5)
        if answer == commit.CONFLICT:
            raise GuardFailed("the state changed between reading and writing")

    def load(self, wanted: Sequence[str]) -> Rows:
        try:
            return load_rows(self.redis, wanted)
        except RedisError as error:
            raise Unavailable("redis-ledger does not answer") from error

    def pick(self, key: str, fields: Sequence[str]) -> list[str | None]:
        try:
            return cast(list[str | None], self.redis.hmget(key, list(fields)))
        except RedisError as error:
            raise Unavailable("redis-ledger does not answer") from error

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        if not envelopes:
            return
        places = Keys()
        self._admit(places, ([], [append(self.outlet, each.producer, each, places) for each in envelopes]))

    def beside(self, service: str, consumer: str) -> Sequence[Callable[[threading.Event], None]]:
        return ()
