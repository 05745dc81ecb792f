"""`sagashop phones`: many phones that go on and off line while orders and broadcasts come, and miss nothing (F41)."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import click

from sagashop.cli.context import Context, context, table
from sagashop.cli.phone import PATHS, Phone
from sagashop.cli.phone_memory import missing_words
from sagashop.cli.shop import Shop
from sagashop.cli.traffic import Buyer, products, sign_up_many
from sagashop.errors import SagashopError
from sagashop.messages import new_id

PER_CUSTOMER = 10
SETTLE_WITHIN_S = 90.0
COUNTS = ("sent", "received", "fetched", "repeated", "missing")
"""Of each kind of messages: sent = received + fetched + missing. What came again, and was dropped, is repeated."""
AT_ONCE = 8
"""Requests of the simulator at a time; it measures nobody's speed."""


@click.command()
@click.option("--count", type=click.IntRange(1, 2000), default=200, show_default=True, help="Phones.")
@click.option("--offline", type=click.IntRange(0, 90), default=30, show_default=True,
              help="How many of them are off line at a time, percent.")  # fmt: skip
@click.option("--churn", type=click.FloatRange(0, 100), default=5, show_default=True,
              help="Phones that go on or off line, per second.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(1, 3600), default=30, show_default=True, help="How long.")
@click.option("--orders", type=click.FloatRange(0, 100), default=2, show_default=True, help="Orders per second.")
@click.option("--broadcasts", type=click.FloatRange(0, 100), default=1, show_default=True,
              help="Broadcasts per second.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same people.")
@context
def phones(ctx: Context, count: int, offline: int, churn: float, seconds: float, orders: float, broadcasts: float,
           seed: int) -> None:  # fmt: skip
    """Let many phones go on and off line while orders and broadcasts come; status 1 if one misses a message."""
    buyers = sign_up_many(ctx.url, -(-count // PER_CUSTOMER), "Phone Owner")
    plan = Plan(offline / 100, churn, seconds, orders, broadcasts, random.Random(seed))  # noqa: S311 - traffic
    told = asyncio.run(Crowd(buyers, count, ctx.operator(), products(ctx.url), plan).run())
    columns = ["messages", "sent #", "received by WebSocket #", "fetched over HTTP #", "repeated #", "missing #"]
    rows = [[kind, *(told[f"{kind} {what}"] for what in COUNTS)] for kind in PATHS]
    title = f"{count} phones, {told['connected']} connections. {missing_words(told['missing'])}"
    ctx.show(dict(told), table(title, columns, rows))
    sys.exit(1 if told["missing"] else 0)


class Plan:
    """How phones behave, and what they are sent, per second."""

    def __init__(self, offline: float, churn: float, seconds: float, orders: float, broadcasts: float,
                 chance: random.Random) -> None:  # fmt: skip
        self.offline, self.churn, self.seconds = offline, churn, seconds
        self.orders, self.broadcasts, self.chance = orders, broadcasts, chance


class Crowd:
    """All phones of a run, and what is sent to them."""

    def __init__(self, buyers: Sequence[Buyer], count: int, operator: Shop, goods: list[dict[str, Any]],
                 plan: Plan) -> None:  # fmt: skip
        self._buyers, self._count, self._operator, self._goods, self._plan = buyers, count, operator, goods, plan
        self._phones: list[tuple[Buyer, Phone]] = []
        self._few = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> Counter[str]:
        """Register, let them live for the planned time, bring all on line, and count."""
        await asyncio.gather(*(self._register(self._buyers[n // PER_CUSTOMER]) for n in range(self._count)))
        running = [asyncio.create_task(phone.run()) for _, phone in self._phones]
        try:
            for _, phone in self._phones:
                if self._plan.chance.random() >= self._plan.offline:
                    phone.online.set()
            await self._live()
            for _, phone in self._phones:
                phone.online.set()
            return await self._count_up()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await asyncio.gather(*(self._remove(buyer, phone) for buyer, phone in self._phones))

    async def _live(self) -> None:
        plan, ends = self._plan, time.monotonic() + self._plan.seconds
        loops = [(self._order, plan.orders), (self._broadcast, plan.broadcasts), (self._switch, plan.churn)]
        await asyncio.gather(*(_every(work, rate, ends) for work, rate in loops if rate))

    async def _switch(self) -> None:
        """Somebody goes, or comes, so that about as many are off line as were planned."""
        away = [phone for _, phone in self._phones if not phone.online.is_set()]
        there = [phone for _, phone in self._phones if phone.online.is_set()]
        if away and (len(away) > self._plan.offline * self._count or not there):
            self._plan.chance.choice(away).online.set()
        elif there:
            self._plan.chance.choice(there).online.clear()

    async def _order(self) -> None:
        buyer, product = self._plan.chance.choice(self._buyers), self._plan.chance.choice(self._goods)
        lines = [{"sku": product["sku"], "quantity": 1}]
        await self._ask(buyer, lambda: buyer.order(lines))

    async def _broadcast(self) -> None:
        text = f"Only today: free shipping with the code {new_id()[:6]}."
        await asyncio.to_thread(self._operator.post, "/api/notifications/broadcasts", {"text": text})

    async def _register(self, buyer: Buyer) -> None:
        body = {"name": "Simulated phone"}
        device = await self._ask(buyer, lambda: buyer.shop.post("/api/notifications/devices", body))
        self._phones.append((buyer, Phone(buyer, device)))

    async def _remove(self, buyer: Buyer, phone: Phone) -> None:
        with suppress(SagashopError):
            await self._ask(buyer, lambda: buyer.shop.delete(f"/api/notifications/devices/{phone.device_id}"))

    async def _count_up(self) -> Counter[str]:
        """Wait until every phone has what the service says there is, or the time is up; then count."""
        ends = time.monotonic() + SETTLE_WITHIN_S
        while True:
            latest = await self._latest()
            told = self._told(latest)
            if (not told["missing"] and latest == await self._latest()) or time.monotonic() > ends:
                return told
            await asyncio.sleep(1)

    async def _latest(self) -> dict[int, dict[str, int]]:
        """The newest numbers, by customer."""

        async def ask(buyer: Buyer) -> tuple[int, dict[str, int]]:
            found = {}
            for kind, path in PATHS.items():
                items = (await self._ask(buyer, lambda path=path: buyer.shop.get(path)))["items"]
                found[kind] = items[0]["number"] if items else 0
            return id(buyer), found

        return dict(await asyncio.gather(*map(ask, self._buyers)))

    def _told(self, latest: dict[int, dict[str, int]]) -> Counter[str]:
        told = Counter[str]({f"{kind} {what}": 0 for kind in PATHS for what in COUNTS})
        for buyer, phone in self._phones:
            told.update(phone.tally)
            for kind, memory in phone.memory.items():
                newest = latest[id(buyer)][kind]
                told[f"{kind} sent"] += newest - memory.since
                told[f"{kind} missing"] += memory.missing + max(0, newest - memory.top)
        for what in ("repeated", "missing"):
            told[what] = sum(told[f"{kind} {what}"] for kind in PATHS)
        return told

    async def _ask(self, buyer: Buyer, question: Any) -> Any:
        def locked() -> Any:
            with buyer.lock:
                return question()

        async with self._few:
            return await asyncio.to_thread(locked)


async def _every(work: Any, rate: float, ends: float) -> None:
    """Begin this so many times a second, whether earlier ones are done or not; return when all are."""
    under_way: set[asyncio.Task[None]] = set()
    while time.monotonic() < ends:
        under_way.add(asyncio.create_task(_unless_refused(work())))
        await asyncio.sleep(1 / rate)
    await asyncio.gather(*under_way)


async def _unless_refused(work: Coroutine[Any, Any, None]) -> None:
    with suppress(SagashopError):  # out of stock, out of money: no order, no messages
        await work
