"""The bus on Redis Streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from sagashop import keys, redis_clients
from sagashop.bus import GuardFailed
from sagashop.errors import Unavailable
from sagashop.streams import commit
from sagashop.streams.commit import Call, Scripts, compile_effects, flat, load_rows
from sagashop.streams.inbox import RedisInbox

if TYPE_CHECKING:
    from sagashop.effects import Effects, Rows
    from sagashop.handlers import Handlers
    from sagashop.messages import Envelope
    from sagashop.settings import Settings


class RedisBus:
    """See `sagashop.bus.Bus`. One per process; its clients' pools are thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.redis = redis_clients.ledger(settings)
        self._scripts = Scripts(self.redis)

    def inbox(self, service: str, handlers: Handlers, consumer: str) -> RedisInbox:
        return RedisInbox(
            service, handlers.channels, consumer,
            redis=self.redis, blocking=redis_clients.blocking(self._settings), settings=self._settings,
        )  # fmt: skip

    def admit(self, service: str, effects: Effects, trace: str = "") -> None:
        self._admit(compile_effects(effects, service=service, trace=trace, first_key=keys.own(service, "door")))

    def _admit(self, call: Call) -> None:
        arguments = [self._settings.admit_memory_percent, "", call.guard_count, *call.guards, *call.commands]
        try:
            answer = self._scripts.run("admit", call.keys, arguments)
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

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        if not envelopes:
            return
        call = Call(keys.stream(envelopes[0].message.channel))
        for envelope in envelopes:
            call.command("XADD", keys.stream(envelope.message.channel), "*", *flat(envelope))
        self._admit(call)
