"""`sagashop rabbit`: what every service has on RabbitMQ (F42), as the services themselves tell it."""

from __future__ import annotations

from typing import Any

import click

from sagashop.cli.context import SERVICES, Context, context, table

Part = dict[str, Any]


@click.group()
def rabbit() -> None:
    """Look at RabbitMQ, as the operator."""


@rabbit.command()
@context
def topology(ctx: Context) -> None:
    """Every queue: what comes in, how long it waits, where its dead letters go."""
    shop = ctx.operator()
    parts = [shop.get(f"/admin/{service}/rabbit") for service in SERVICES]
    rows = [_row(part, queue) for part in parts for queue in part["queues"]]
    columns = ["service", "queue", "type", "from exchange: keys", "ttl s #", "returns #", "dead letters to"]
    ctx.show(parts, table(f"{len(rows)} queues", columns, rows))


def _row(part: Part, queue: dict[str, Any]) -> tuple[object, ...]:
    told, name = queue["arguments"], queue["name"]
    keys: dict[str, list[str]] = {}
    for each in part["bindings"]:
        if each["queue"] == name:
            keys.setdefault(each["exchange"], []).append(each["key"])
    comes = "\n".join(f"{exchange}: {' '.join(filter(None, heard))}" for exchange, heard in keys.items())
    ttl_ms = told.get("x-message-ttl")
    to = [told.get("x-dead-letter-exchange"), told.get("x-dead-letter-routing-key")]
    return (
        part["service"], name, told.get("x-queue-type"), comes, None if ttl_ms is None else f"{ttl_ms / 1000:g}",
        told.get("x-delivery-limit"), "/".join(filter(None, to)),
    )  # fmt: skip
