"""`sagashop orders`: place an order as the demo customer and watch its saga."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from sagashop.cli.context import Context, context, euros, table
from sagashop.cli.shop import Shop
from sagashop.messages import new_id

LAST_EVENTS = {"OrderCompleted", "OrderRejected", "OrderCancelled", "OrderRefunded"}
WATCH_S = 300


@click.group()
def orders() -> None:
    """Place and watch orders, as the demo customer."""


@orders.command()
@click.argument("lines", nargs=-1, required=True, metavar="SKU[:QUANTITY]...")
@click.option("--key", default=new_id, help="Idempotency key; a new one each time unless given.")
@click.option(
    "--wait", type=click.IntRange(0, 30), default=2, show_default=True, help="Seconds to wait for the outcome."
)
@click.option("--watch", is_flag=True, help="Follow the order's saga.")
@context
def create(ctx: Context, lines: tuple[str, ...], key: str, wait: int, watch: bool) -> None:
    """Place an order: `sagashop orders create MUG-TERRA-01:2`."""
    shop = ctx.customer()
    body = {"lines": [_line(line) for line in lines]}
    order = shop.post("/api/orders", body, **{"Idempotency-Key": key, "Prefer": f"wait={wait}"})
    ctx.show(order, table("", ["order", "status", "total #"], [_row(order)]))
    if watch:
        _watch(ctx, shop, order["order_id"])


@orders.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@context
def list_(ctx: Context, limit: int) -> None:
    """The demo customer's orders, newest first."""
    found = ctx.customer().get("/api/orders", limit=limit)
    ctx.show(found, table("", ["order", "status", "total #"], map(_row, found["items"])))


@orders.command()
@click.argument("order_id")
@click.option("--operator", is_flag=True, help="Look as the operator, who may see every order.")
@context
def watch(ctx: Context, order_id: str, operator: bool) -> None:
    """Follow an order's saga, station by station, until it is settled."""
    _watch(ctx, ctx.operator() if operator else ctx.customer(), order_id)


@orders.command()
@click.argument("order_id")
@click.option("--reason", default="", help="Why, for the order's history.")
@context
def cancel(ctx: Context, order_id: str, reason: str) -> None:
    """Cancel an order; after the pivot that is a refund."""
    order = ctx.customer().post(f"/api/orders/{order_id}/cancellation", {"reason": reason})
    ctx.show(order, table("", ["order", "status", "total #"], [_row(order)]))


def _line(text: str) -> dict[str, Any]:
    sku, _, quantity = text.partition(":")
    if quantity and not quantity.isdigit():
        raise click.BadParameter(f"{text}: the quantity is a whole number, as in {sku}:2")
    return {"sku": sku, "quantity": int(quantity or 1)}


def _row(order: dict[str, Any]) -> tuple[object, ...]:
    return order["order_id"], order["status"], euros(order.get("total_cents", 0))


def _watch(ctx: Context, shop: Shop, order_id: str) -> None:
    events, started = [], time.monotonic()
    with Live(console=Console(), auto_refresh=False, transient=False) as live:
        for name, event in shop.events(order_id):
            events.append((name, event))
            if ctx.as_json:
                click.echo(json.dumps({"event": name, **event}))
            else:
                live.update(_timeline(order_id, events), refresh=True)
            if name in LAST_EVENTS or time.monotonic() - started > WATCH_S:
                return


def _timeline(order_id: str, events: list[tuple[str, dict[str, Any]]]) -> Table:
    first = events[0][1].get("time_ms", 0)
    rows = [
        (f"+{event.get('time_ms', first) - first}", name, ", ".join(_change(c) for c in event.get("changes", [])))
        for name, event in events
    ]
    return table(f"Order {order_id}", ["ms #", "event", "stations"], rows)


def _change(change: dict[str, Any]) -> str:
    again = f" (attempt {change['attempt']})" if change.get("attempt", 1) > 1 else ""
    return f"{change['step']} {change['status']}{again}"
