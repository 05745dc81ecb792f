"""Customers who order at a steady pace, some of what nobody can pay or get, and cancel some: all from one seed."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from sagashop.cli.shop import Shop
from tests.chaos.shop import ShopUnderTest, cancel, place

WISHES = {"plain": 68, "dear": 8, "scarce": 6, "cancel": 10, "regret": 8}
"""In percent. dear: cannot be paid; scarce: is not on the shelf; cancel: at once; regret: when it is paid for."""
REGRET_AFTER_S = 1.5


@dataclass(frozen=True)
class Wish:
    at_s: float
    kind: str
    key: str


class Load:
    """So many orders, `per_s` a second; `accepted` fills while it runs."""

    def __init__(self, shop: ShopUnderTest, *, orders: int, per_s: float, seed: int, buyers: int = 8) -> None:
        self._shop = shop
        self.accepted: list[str] = []
        chance = random.Random(seed)
        kinds = chance.choices(list(WISHES), list(WISHES.values()), k=orders)
        unique = f"{seed}-{chance.getrandbits(64):x}-{time.time_ns():x}"
        wishes = [Wish(n / per_s, kind, f"{unique}-{n}") for n, kind in enumerate(kinds)]
        self._plans = [wishes[n::buyers] for n in range(buyers)]
        self._buyers = [shop.people.customer() for _ in range(buyers)]

    def run(self) -> None:
        """Place all of them; returns when each is accepted."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(self._buyers)) as pool:
            for done in [pool.submit(self._buy, *each, began) for each in zip(self._buyers, self._plans, strict=True)]:
                done.result()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Orders come in while the body runs; leaving waits for the last one. Raises what went wrong."""
        wrong: list[BaseException] = []

        def run() -> None:
            try:
                self.run()
            except BaseException as error:
                wrong.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if wrong:
            raise wrong[0]

    def _buy(self, shop: Shop, plan: list[Wish], began: float) -> None:
        regrets: deque[tuple[float, str]] = deque()
        skus = {"dear": self._shop.dear, "scarce": self._shop.scarce}
        for wish in plan:
            time.sleep(max(0.0, began + wish.at_s - time.monotonic()))
            order_id = place(shop, skus.get(wish.kind, self._shop.cheap), wish.key)
            self.accepted.append(order_id)
            if wish.kind == "cancel":
                cancel(shop, order_id)
            if wish.kind == "regret":
                regrets.append((time.monotonic() + REGRET_AFTER_S, order_id))
            while regrets and regrets[0][0] <= time.monotonic():
                cancel(shop, regrets.popleft()[1])
        for due, order_id in regrets:
            time.sleep(max(0.0, due - time.monotonic()))
            cancel(shop, order_id)
