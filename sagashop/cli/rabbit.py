"""`sagashop rabbit`: what every service has on RabbitMQ (F42), as the services themselves tell it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import click
from rich.table import Table

from sagashop.cli.context import SERVICES, Context, context, table

Part = dict[str, Any]
Told = Sequence[tuple[str, Part]]
"""Who declares it, and what."""
OF_ALL = "(the broker's start)"


@click.group()
def rabbit() -> None:
    """Look at RabbitMQ, as the operator."""


@rabbit.command()
@context
def topology(ctx: Context) -> None:
    """Exchanges, queues, bindings, policies, and what each service's user may do."""
    shop = ctx.operator()
    parts = [shop.get(f"/admin/{service}/rabbit") for service in SERVICES]
    told = [(OF_ALL, parts[0]["shared"]), *((part["service"], part["own"]) for part in parts)]
    ctx.show(parts, _exchanges(told), _queues(told), _bindings(told), _policies(told), _users(parts))


def _exchanges(told: Told) -> Table:
    rows = [
        (who, each["name"], each["kind"], each["alternate"] or "is dropped")
        for who, part in told
        for each in part["exchanges"]
    ]
    return table(f"{len(rows)} exchanges", ["declared by", "exchange", "type", "what nobody has bound"], rows)


def _queues(told: Told) -> Table:
    rows = [_queue(who, queue) for who, part in told for queue in part["queues"]]
    columns = ["declared by", "queue", "type", "ttl s #", "length #", "returns #", "dead letters to"]
    return table(f"{len(rows)} queues", columns, rows)


def _queue(who: str, queue: Part) -> tuple[object, ...]:
    told = queue["arguments"]
    to = [told.get("x-dead-letter-exchange"), told.get("x-dead-letter-routing-key")]
    return (
        who, queue["name"], told.get("x-queue-type"), _seconds(told.get("x-message-ttl")), told.get("x-max-length"),
        told.get("x-delivery-limit"), "/".join(filter(None, to)),
    )  # fmt: skip


def _seconds(ms: int | None) -> str | None:
    return None if ms is None else f"{ms / 1000:.10g}"


def _bindings(told: Told) -> Table:
    rows = [(each["exchange"], each["key"], each["queue"]) for _, part in told for each in part["bindings"]]
    return table(f"{len(rows)} bindings", ["exchange", "routing key", "queue"], sorted(rows))


def _policies(told: Told) -> Table:
    rows = [
        (each["name"], each["pattern"], ", ".join(f"{name} {value}" for name, value in each["definition"].items()))
        for _, part in told
        for each in part["policies"]
    ]
    return table(f"{len(rows)} policies", ["policy", "queues", "limits (times in ms)"], rows)


def _users(parts: Sequence[Part]) -> Table:
    doing = ("configure", "write", "read", "publishes", "binds")
    rows = [(part["service"], *("\n".join(_names(part["rights"][what])) for what in doing)) for part in parts]
    columns = ["user", "declares", "publishes to, binds", "reads", "keys that it publishes", "keys that it binds"]
    return table(f"{len(rows)} users", columns, rows)


def _names(pattern: str) -> Iterator[str]:
    r"""`^(orders\\.|sagashop\\.events$)` is what begins with `orders.`, and `sagashop.events`."""
    for each in pattern.removeprefix("^(").removesuffix(")").split("|"):
        name = re.sub(r"\\(.)", r"\1", each)
        yield name.removesuffix("$") if name.endswith("$") else f"{name}*"
