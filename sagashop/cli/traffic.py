"""Customers who come through the front door, and orders sent at their intended times, for `simulate` and `replay`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sagashop.cli.shop import Refused, Shop
from sagashop.errors import SagashopError
from sagashop.messages import new_id

WORKERS = 16
TOP_UP_CENTS = 100_000


@dataclass
class Buyer:
    """A registered customer with a session; `lock` keeps its cookies to one thread at a time."""

    shop: Shop
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def sign_up(cls, url: str, name: str) -> Buyer:
        shop = Shop(url)
        email = f"{name.lower().replace(' ', '-')}-{new_id()[:12]}@sagashop.example"
        shop.post("/api/customers", {"name": name, "email": email, "password": new_id()})
        return cls(shop)

    def afford(self, cents: int) -> None:
        """Have at least this much on the account; a recorded customer paid, so a replayed one must be able to."""
        if self.shop.get("/api/accounts/me")["available_cents"] < cents:
            amount = max(cents, TOP_UP_CENTS)
            self.shop.post("/api/accounts/me/deposits", {"amount_cents": amount, "deposit_id": new_id()})

    def order(self, lines: Sequence[dict[str, Any]]) -> str:
        """Place an order; its id. The idempotency key makes a repetition after a lost answer safe."""
        answer = self.shop.post("/api/orders", {"lines": list(lines)}, **{"Idempotency-Key": new_id()})
        return str(answer["order_id"])


def sign_up_many(url: str, count: int, name: str) -> list[Buyer]:
    """So many new customers, a few at a time, with a progress bar."""
    with _progress() as progress, ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda number: Buyer.sign_up(url, f"{name} {number + 1}"), range(count))
        return list(progress.track(made, total=count, description="customers sign up"))


def products(url: str) -> list[dict[str, Any]]:
    """The whole catalogue."""
    shop, found, cursor = Shop(url), [], None
    while True:
        page = shop.get("/api/products", limit=100, cursor=cursor)
        found += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return found


def run_schedule(plan: Iterable[tuple[float, Callable[[], str]]], total: int, what: str) -> Counter[str]:
    """Run each action at its time (seconds from now), whether earlier ones are done or not; counts by outcome.

    Open loop: a slow answer does not put off the next start, so the offered rate is what was asked for.
    """
    tally: Counter[str] = Counter()
    started = time.monotonic()
    with _progress() as progress, ThreadPoolExecutor(WORKERS) as pool:
        running: list[Future[str]] = []
        bar = progress.add_task(what, total=total)
        for at_s, action in plan:
            time.sleep(max(0.0, started + at_s - time.monotonic()))
            future = pool.submit(_outcome, action)
            future.add_done_callback(lambda _: progress.advance(bar))
            running.append(future)
        wait(running, timeout=120)
        tally.update(future.result() if future.done() else "no answer" for future in running)
    return tally


def _outcome(action: Callable[[], str]) -> str:
    try:
        return action()
    except Refused as refused:
        return f"refused: {refused.kind or refused.status}"
    except SagashopError:
        return "not reachable"


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True), transient=False)
