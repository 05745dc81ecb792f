"""`sagashop replay`: a recorded purchase log goes through the front door again, at a multiple of its speed (F08)."""

from __future__ import annotations

import csv
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from sagashop.cli.context import Context, context, euros, table
from sagashop.cli.traffic import Buyer, products, run_schedule, sign_up_many
from sagashop.errors import SagashopError

MOST_OF_ONE = 99


class Purchase(msgspec.Struct, frozen=True):
    """One recorded purchase. `sku` is empty where the log does not name a product."""

    time: datetime
    customer: str
    quantity: int
    amount_cents: int
    sku: str = ""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="So many times as fast.",
)
@click.option("--customers", type=click.IntRange(1, 5000), default=50, show_default=True,
              help="Recorded customers are spread over so many new ones.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Only the first so many purchases.")
@context
def replay(ctx: Context, file: Path, speed: float, customers: int, limit: int | None) -> None:
    """Replay a purchase log.

    FILE is a CSV with a header and the columns time (ISO 8601 date, or date and time), customer (any text),
    quantity (whole number), amount (decimal, in the shop's currency, for the whole purchase) and, if known, sku.
    A purchase without a sku becomes the product whose price is nearest to amount / quantity.
    """
    purchases = read_log(file)[:limit]
    goods = sorted((p for p in products(ctx.url) if p.get("on_sale", True)), key=lambda p: p["price_cents"])
    who = sorted({purchase.customer for purchase in purchases})
    buyers = sign_up_many(ctx.url, min(customers, len(who)), "Replayed Customer")
    seat = {customer: buyers[place % len(buyers)] for place, customer in enumerate(who)}
    plan = _plan(purchases, speed, seat, goods)
    tally = run_schedule(plan, len(purchases), f"purchases at ×{speed:g}")
    worth = sum(purchase.amount_cents for purchase in purchases)
    title = f"{len(purchases)} purchases of {len(who)} recorded customers, worth {euros(worth)}"
    ctx.show(dict(tally), table(title, ["outcome", "count #"], sorted(tally.items())))


def read_log(file: Path) -> list[Purchase]:
    """The purchases of a CSV file, in the order of time.

    Raises:
        SagashopError: a column is missing or a value does not fit; the text names the line.
    """
    with file.open(newline="", encoding="utf-8") as text:
        rows = csv.DictReader(text)
        missing = {"time", "customer", "quantity", "amount"} - set(rows.fieldnames or ())
        if missing:
            raise SagashopError(f"{file}: the header lacks {', '.join(sorted(missing))}")
        purchases = [_purchase(file, rows.line_num, row) for row in rows]
    if not purchases:
        raise SagashopError(f"{file} has no purchases")
    return sorted(purchases, key=lambda purchase: purchase.time)


def _purchase(file: Path, line: int, row: dict[str, Any]) -> Purchase:
    try:
        time = datetime.fromisoformat(row["time"])
        return Purchase(
            time=time if time.tzinfo else time.replace(tzinfo=UTC),
            customer=row["customer"],
            quantity=max(1, int(row["quantity"])),
            amount_cents=round(float(row["amount"]) * 100),
            sku=row.get("sku") or "",
        )
    except (TypeError, ValueError, OverflowError) as wrong:
        raise SagashopError(f"{file}, line {line}: {wrong}") from wrong


def _plan(purchases: Sequence[Purchase], speed: float, seat: dict[str, Buyer],
          goods: list[dict[str, Any]]) -> Iterator[tuple[float, Callable[[], str]]]:  # fmt: skip
    first = purchases[0].time
    for purchase in purchases:
        at_s = (purchase.time - first).total_seconds() / speed
        yield at_s, _action(seat[purchase.customer], purchase, goods)


def _action(buyer: Buyer, purchase: Purchase, goods: list[dict[str, Any]]) -> Callable[[], str]:
    product = _product(purchase, goods)
    quantity = min(MOST_OF_ONE, purchase.quantity)

    def act() -> str:
        with buyer.lock:
            buyer.afford(product["price_cents"] * quantity)
            buyer.order([{"sku": product["sku"], "quantity": quantity}])
        return "accepted"

    return act


def _product(purchase: Purchase, goods: list[dict[str, Any]]) -> dict[str, Any]:
    """The recorded product, or the one whose price is nearest. `goods` is in the order of price."""
    for product in goods:
        if product["sku"] == purchase.sku:
            return product
    each = purchase.amount_cents / purchase.quantity
    place = bisect(goods, each, key=lambda product: product["price_cents"])
    return min(goods[max(0, place - 1) : place + 1], key=lambda product: abs(product["price_cents"] - each))
