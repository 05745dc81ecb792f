"""Settings come from the environment, one variable per field, and are read once at start.

A service adds its own fields in `services/<name>/settings.py`:

    class StorefrontSettings(Settings, frozen=True, kw_only=True):
        cart_ttl_s: Annotated[int, says("How long an untouched cart is kept, seconds")] = 604_800
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_type_hints

import msgspec

from sagashop.errors import SagashopError

S = TypeVar("S", bound="Settings")


class BadSetting(SagashopError):
    """An environment variable is missing or does not fit. The text names the variable and no secret."""


def says(description: str) -> msgspec.Meta:
    """What a setting means, for the README tables."""
    return msgspec.Meta(description=description)


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """What every process of every service may be told."""

    redis_ledger_url: Annotated[str, says("Redis of streams, orders, stock, accounts and jobs")] = (
        "redis://127.0.0.1:18000/0"
    )
    redis_session_url: Annotated[str, says("Redis of sessions, carts, pub/sub and caches")] = (
        "redis://127.0.0.1:18001/0"
    )
    rabbitmq_url: Annotated[str, says("RabbitMQ of devices and long work")] = "amqp://127.0.0.1:18002/"
    database_url: Annotated[str, says("SQL database of this service, as an SQLAlchemy URL")] = ""
    bus: Annotated[Literal["redis", "rabbitmq"], says("What carries messages between services")] = "redis"

    log_level: Annotated[Literal["debug", "info", "warning", "error"], says("Least level that is logged")] = "info"
    log_format: Annotated[Literal["json", "console"], says("One JSON object a line, or text for people")] = "json"

    bind_host: Annotated[str, says("Address that this process listens on")] = "127.0.0.1"
    health_port: Annotated[int, says("Port of a worker's /livez and /readyz; 0 for none")] = 0
    worker_name: Annotated[str, says("Stable consumer name of a worker, for example `orders-worker-1`")] = ""

    visibility_s: Annotated[float, says("Least idle time before an unanswered entry is tried again, seconds")] = 5.0
    max_deliveries: Annotated[int, says("Attempts before an entry becomes a dead letter")] = 5
    batch_size: Annotated[int, says("Entries that a worker reads and commits together")] = 250

    linger_ms: Annotated[
        int, says("A worker that may lag gathers messages for so long, for fewer and larger batches")
    ] = 0
    admit_memory_percent: Annotated[int, says("New work is refused when redis-ledger is this full, percent")] = 80
    stream_keep_s: Annotated[int, says("Handled entries stay in their stream at least so long, seconds")] = 600

    public_url: Annotated[str, says("Where people reach the shop")] = "http://127.0.0.1:8080"
    cookie_secure: Annotated[bool, says("Send cookies over TLS only")] = False
    session_ttl_s: Annotated[int, says("A session ends after so long without a request, seconds")] = 1_800
    session_max_s: Annotated[int, says("A session ends so long after log-in in any case, seconds")] = 43_200


class Described(NamedTuple):
    """One row of a settings table. `default` is None where the setting must be given."""

    env_name: str
    default: str | None
    description: str


def load(cls: type[S], env: Mapping[str, str] = os.environ) -> S:
    """Read settings from the environment: field `batch_size` from BATCH_SIZE. An empty variable counts as not set.

    Raises:
        BadSetting: a value does not fit its type, or a setting without a default is not set.
    """
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        name = field.name.upper()
        if env.get(name):
            given[field.name] = _read(name, env[name], field.type)
        elif field.required:
            raise BadSetting(f"{name} is not set. It says: {_description(field.type)}.")
    return cls(**given)


def describe(cls: type[Settings]) -> list[Described]:
    """Every setting of a service, for its README table and the test that compares the two."""
    return list(_rows(cls))


def _read(name: str, value: str, wanted: object) -> object:
    try:
        return msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as wrong:
        raise BadSetting(f"{name}: {wrong}. It says: {_description(wanted)}.") from None


def _rows(cls: type[Settings]) -> Iterator[Described]:
    hints = get_type_hints(cls, include_extras=True)
    for field in msgspec.structs.fields(cls):
        default = None if field.required else _as_env(field.default)
        yield Described(field.name.upper(), default, _description(hints[field.name]))


def _as_env(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _description(annotated: object) -> str:
    metas = [m for m in getattr(annotated, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
    return next((m.description for m in metas if m.description), "")
