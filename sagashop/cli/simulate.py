"""`sagashop simulate`: people who look around, fill carts and sometimes buy, at a given rate (F08)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from sagashop.cli.context import Context, context, table
from sagashop.cli.traffic import Buyer, products, run_schedule, sign_up_many

HABITS: Mapping[str, int] = {"page_view": 55, "add_to_cart": 25, "purchase": 15, "cancel": 5}
"""What a visitor does next, in percent; a cancellation is of an order placed that moment."""


@click.command()
@click.option("--rate", type=click.FloatRange(0.1, 500), default=10, show_default=True, help="Actions per second.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=30, show_default=True, help="How long.")
@click.option(
    "--customers", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many sign up first."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same visitors.")
@context
def simulate(ctx: Context, rate: float, seconds: float, customers: int, seed: int) -> None:
    """Make traffic: visitors who look around, fill their carts, buy, and sometimes cancel."""
    chance = random.Random(seed)  # noqa: S311 - traffic, not secrets
    goods = [product for product in products(ctx.url) if product.get("on_sale", True)]
    buyers = sign_up_many(ctx.url, customers, "Simulated Visitor")
    plan = list(_plan(chance, buyers, goods, rate, seconds))
    tally = run_schedule(plan, len(plan), "actions")
    ctx.show(dict(tally), table(f"{len(plan)} actions in {seconds:g} s", ["action", "count #"], sorted(tally.items())))


def _plan(chance: random.Random, buyers: list[Buyer], goods: list[dict[str, Any]], rate: float,
          seconds: float) -> Iterator[tuple[float, Callable[[], str]]]:  # fmt: skip
    """Poisson arrivals: independent visitors come in clumps, not in step."""
    at_s = chance.expovariate(rate)
    while at_s < seconds:
        habit = chance.choices(list(HABITS), list(HABITS.values()))[0]
        basket = [(product["sku"], chance.randint(1, 3)) for product in chance.sample(goods, chance.randint(1, 3))]
        yield at_s, _action(chance.choice(buyers), habit, basket)
        at_s += chance.expovariate(rate)


def _action(buyer: Buyer, habit: str, basket: list[tuple[str, int]]) -> Callable[[], str]:
    def act() -> str:
        with buyer.lock:
            _do(buyer, habit, basket)
        return habit

    return act


def _do(buyer: Buyer, habit: str, basket: list[tuple[str, int]]) -> None:
    sku, quantity = basket[0]
    if habit == "page_view":
        buyer.shop.get(f"/api/products/{sku}")
        buyer.shop.post("/api/activity", {"kind": "page_view", "tags": {"sku": sku}})
    elif habit == "add_to_cart":
        buyer.shop.put(f"/api/cart/lines/{sku}", {"quantity": quantity})
    else:
        order_id = buyer.order([{"sku": name, "quantity": number} for name, number in basket])
        if habit == "cancel":
            buyer.shop.post(f"/api/orders/{order_id}/cancellation", {"reason": "changed my mind"})
