"""`sagashop sagas`: what the operator sees of orders under way."""

from __future__ import annotations

from typing import Any

import click

from sagashop.cli.context import Context, context, euros, table


@click.group()
def sagas() -> None:
    """Look at checkout sagas, as the operator."""


@sagas.command("list")
@click.option("--status", help="Only orders in this status, for example placed or refunding.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@context
def list_(ctx: Context, status: str | None, limit: int) -> None:
    """Sagas that are under way, newest first; with --status those in this status."""
    found = ctx.operator().get("/admin/orders/sagas", status=status, limit=limit)
    rows = ((o["order_id"], o["customer_id"], o["status"], euros(o["total_cents"])) for o in found["items"])
    ctx.show(found, table("Sagas", ["order", "customer", "status", "total #"], rows))


@sagas.command()
@click.argument("order_id")
@context
def show(ctx: Context, order_id: str) -> None:
    """Each step of one saga: status, attempts, times."""
    saga = ctx.operator().get(f"/api/orders/{order_id}/timeline")
    rows = (
        (s["step"], s["service"], s["status"], s["attempts"], _after(saga, s["asked_ms"]), s["duration_ms"])
        for s in saga["steps"]
    )
    columns = ["step", "service", "status", "attempts #", "asked after ms #", "took ms #"]
    ctx.show(saga, table(f"Order {order_id}: {saga['status']}", columns, rows))


def _after(saga: dict[str, Any], time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms - int(saga["placed_ms"])
