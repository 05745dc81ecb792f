"""The three ways a process talks to Redis. Making a client connects nothing; the first command does.

redis-py 8 retries ten times by default and sends a write again whose reply was lost: one XADD, two entries. So retries
are off here; only idempotent scripts are retried, by their callers. A Redis that hangs is given up in 1.5 s, which
leaves a web request the time to answer 503 within 2 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import redis
from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from sagashop.errors import NotReachable
from sagashop.settings import Settings

CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 1.5
BLOCK_MS = 2_000
"""The longest a blocking read may ask the server to wait."""


def ledger(settings: Settings) -> redis.Redis:
    """Commands and scripts on redis-ledger."""
    return _client(settings.redis_ledger_url, ANSWER_TIMEOUT_S)


def session(settings: Settings) -> redis.Redis:
    """Commands and scripts on redis-session."""
    return _client(settings.redis_session_url, ANSWER_TIMEOUT_S)


def blocking(settings: Settings) -> redis.Redis:
    """Blocking reads on redis-ledger, each up to `BLOCK_MS`; its socket timeout lies above that."""
    return _client(settings.redis_ledger_url, BLOCK_MS / 1000 + ANSWER_TIMEOUT_S)


def check(name: str, client: redis.Redis) -> Callable[[], None]:
    """A readiness check: the server answers a PING, or the check raises NotReachable."""

    def answers() -> None:
        try:
            client.ping()
        except redis.RedisError as why:
            raise not_reachable(name, client, why) from why

    return answers


def not_reachable(name: str, client: redis.Redis, why: Exception) -> NotReachable:
    """The error for a server that does not answer: which (`redis-ledger`), where, why, and what to do next."""
    to = client.connection_pool.connection_kwargs
    where = to.get("path") or f"{to.get('host')}:{to.get('port')}"
    return NotReachable(
        f"cannot reach {name} at {where} ({reason(why)}).\n"
        f"  The stack is probably not running. Start it with `make up`, "
        f"or point {name.upper().replace('-', '_')}_URL at a running server."
    )


def reason(why: BaseException) -> str:
    """The shortest true words for a connection error."""
    if isinstance(why, redis.TimeoutError):
        return "no answer in time"
    if "refused" in str(why):
        return "connection refused"
    return str(why)


_HOT = frozenset({"EVALSHA", "HGETALL"})


class _Packer(HiredisRespSerializer):
    """hiredis writes strict UTF-8 whatever `encoding_errors` says; foreign bytes must go out as they came in.

    Commands of the hot path go to hiredis as they are: looking at each argument first would take twice as long.
    """

    def pack(self, *args: Any) -> Any:
        try:
            return [pack_command(args)] if args[0] in _HOT else super().pack(*args)
        except UnicodeEncodeError:
            escaped: Any = [a.encode(errors="surrogateescape") if isinstance(a, str) else a for a in args]
            return super().pack(*escaped)


def _client(url: str, answer_timeout_s: float) -> redis.Redis:
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise NotReachable(f"{parts.scheme or 'an empty value'} is not a Redis URL; it should read redis://host:port/0")
    options: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": answer_timeout_s,
        "health_check_interval": 0,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",  # foreign bytes in a stream become a dead letter, not a crash
        "command_packer": _Packer(),
        "protocol": 2,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "driver_info": None,  # no CLIENT SETINFO: two commands fewer per connection, and services may not use CLIENT
    }
    return redis.Redis.from_url(url, **options)
