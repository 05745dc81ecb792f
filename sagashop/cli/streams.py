"""`sagashop streams`: length, lag and pending of every service's streams (F04, F15)."""

from __future__ import annotations

import time
from typing import Any

import click

from sagashop.cli.context import SERVICES, Context, context, table
from sagashop.cli.shop import Shop


@click.group()
def streams() -> None:
    """Look at streams and their consumer groups, as the operator."""


@streams.command("list")
@context
def list_(ctx: Context) -> None:
    """Every stream: length, memory, newest entry, groups."""
    found = _streams(ctx.operator())
    rows = (
        (
            s["channel"],
            s["length"],
            f"{s['memory_bytes'] / 1024:.0f}",
            s["last"] or "",
            ", ".join(g["name"] for g in s["groups"]),
        )
        for s in found
    )
    ctx.show(found, table("Streams", ["stream", "entries #", "KiB #", "newest", "groups"], rows))


@streams.command()
@click.option(
    "--interval", type=click.FloatRange(min=0.2), help="Print again every so many seconds, until interrupted."
)
@context
def lag(ctx: Context, interval: float | None) -> None:
    """Every group: entries not delivered yet (lag), and delivered but not acknowledged (pending)."""
    shop = ctx.operator()
    while True:
        found = _streams(shop)
        rows = (_group_row(s, g) for s in found for g in s["groups"])
        columns = ["stream", "group", "lag #", "pending #", "oldest idle s #", "consumers"]
        ctx.show(found, table("Consumer groups", columns, rows))
        if interval is None:
            return
        time.sleep(interval)


def _streams(shop: Shop) -> list[dict[str, Any]]:
    seen = {s["channel"]: s for service in SERVICES for s in shop.get(f"/admin/{service}/streams")["streams"]}
    return [seen[channel] for channel in sorted(seen)]


def _group_row(stream: dict[str, Any], group: dict[str, Any]) -> tuple[object, ...]:
    busy = [consumer["idle_ms"] / 1000 for consumer in group["consumers"] if consumer["pending"]]
    names = ", ".join(consumer["name"] for consumer in group["consumers"])
    lag = "?" if group["lag"] is None else group["lag"]
    return stream["channel"], group["name"], lag, group["pending"], f"{max(busy):.1f}" if busy else "", names
