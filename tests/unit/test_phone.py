"""What a phone makes of the numbers of its messages, whatever happens to them on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagashop.cli.phone import Phone
from sagashop.cli.phone_memory import MOST_GAPS, Memory, missing_words
from services.notifications import ring

NUMBERS = st.integers(1, 12)


class Noting(Memory):
    """Notes what was new to it: what the phone shows."""

    def __init__(self, since: int) -> None:
        super().__init__(since)
        self.shown = list[int]()

    def hear(self, number: int) -> bool:
        is_new = super().hear(number)
        self.shown += [number] if is_new else []
        return is_new


class World:
    """A phone, its queue, and a history that HTTP has: the last `kept` of all numbers so far, in pages."""

    def __init__(self, kept: int, page: int) -> None:
        self.newest, self._kept, self._page = 0, kept, page
        self.queue, self.delivered = list[int](), set[int]()
        shop = SimpleNamespace(get=self._get)
        buyer = SimpleNamespace(shop=shop, lock=threading.Lock())
        self.phone = Phone(cast(Any, buyer), {"device_id": "d", "since": {"direct": 0, "broadcast": 0}})
        self.memory = self.phone.memory["direct"] = Noting(0)

    def _get(self, path: str, after: int) -> Any:
        first = max(self.newest - self._kept, after) + 1
        numbers = range(first, min(self.newest, first + self._page - 1) + 1)
        return {"items": [{"number": number} for number in reversed(numbers)]}

    def send(self, count: int) -> None:
        self.queue += range(self.newest + 1, self.newest + 1 + count)
        self.newest += count

    async def greet(self) -> None:
        await self._hear({"hello": {"direct": self.newest, "broadcast": 0}})

    async def deliver(self, count: int, again: int = 0) -> None:
        """So many messages; the acknowledgements of the last `again` of them are lost, so they come again."""
        for number in self.queue[:count]:
            self.delivered.add(number)
            await self._hear({"tag": 1, "message": {"kind": "direct", "number": number}})
        del self.queue[: max(0, count - again)]

    async def _hear(self, frame: dict[str, Any]) -> None:
        await self.phone._hear(None, frame)

    async def fall_silent(self) -> None:
        self.phone._heard_s = float("-inf")
        await self.phone._look()


@pytest.mark.feature("F41")
def test_what_waits_in_the_queue_is_shown_though_older_ones_are_gone_and_cannot_be_fetched() -> None:
    world = World(kept=50, page=50)
    world.send(260)
    del world.queue[:60]  # too old

    async def come_back() -> None:
        await world.greet()
        await world.deliver(260)
        await world.fall_silent()

    asyncio.run(come_back())
    assert world.memory.shown == list(range(61, 261))
    assert world.memory.missing == 60
    assert world.phone.tally["direct repeated"] == 0


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 9)),
        st.tuples(st.just("strike"), st.integers(1, 9)),
        st.tuples(st.just("greet"), st.just(0)),
        st.tuples(st.just("deliver"), st.integers(1, 9)),
        st.tuples(st.just("deliver, and again"), st.integers(1, 9)),
        st.tuples(st.just("fall silent"), st.just(0)),
    ),
    max_size=25,
)


@pytest.mark.feature("F41")
@given(actions=ACTIONS, kept=st.integers(0, 12), page=st.integers(1, 5))
def test_a_phone_shows_all_that_either_way_brings_and_nothing_twice(
    actions: list[tuple[str, int]], kept: int, page: int
) -> None:
    world = World(kept, page)

    async def live() -> None:
        for what, count in actions:
            match what:
                case "send":
                    world.send(count)
                case "strike":
                    del world.queue[:count]
                case "greet":
                    await world.greet()
                case "fall silent":  # also too early, while something waits
                    await world.fall_silent()
                case _:
                    await world.deliver(count, again=count // 2 if "again" in what else 0)
        await world.greet()
        await world.deliver(len(world.queue))
        await world.fall_silent()

    asyncio.run(live())
    shown = set(world.memory.shown)
    assert len(world.memory.shown) == len(shown), "nothing twice"
    assert world.delivered <= shown, "nothing that reached it is dropped"
    assert set(range(max(0, world.newest - kept) + 1, world.newest + 1)) <= shown, "HTTP has them"
    assert world.memory.missing == world.newest - len(shown)
    tally = world.phone.tally
    assert tally["direct received"] + tally["direct fetched"] == len(shown)


@given(st.lists(st.tuples(st.booleans(), NUMBERS)))
def test_a_number_is_new_once_in_whatever_order_they_come(came: list[tuple[bool, int]]) -> None:
    memory, heard, top = Memory(since=2), {1, 2}, 2
    for is_heard, number in came:
        top = max(top, number)
        if is_heard:
            assert memory.hear(number) is (number not in heard)
            heard.add(number)
        else:
            memory.pass_over(number)
        assert memory.missing == len(set(range(1, top + 1)) - heard)


def test_what_a_phone_remembers_is_bounded_and_still_counted() -> None:
    memory = Memory(since=0)
    for number in range(2, 1_002, 2):  # every other one
        assert memory.hear(number)
    assert memory.missing == 500
    assert len(memory._gaps) <= MOST_GAPS


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, ""),
        (1, "1 message is missing: neither the queue nor HTTP brought them."),
        (60, "60 messages are missing: neither the queue nor HTTP brought them."),
    ],
)
def test_a_phone_says_what_is_missing(count: int, words: str) -> None:
    assert missing_words(count) == words


@pytest.mark.parametrize(
    ("newest", "after", "numbers"),
    [
        (0, None, []),
        (7, None, range(1, 8)),
        (120, None, range(71, 121)),
        (120, 0, range(1, 51)),
        (120, 80, range(81, 121)),
        (120, 120, []),
        (120, 4_711, []),
        (5_000, 0, range(4_001, 4_051)),
    ],
)
def test_a_page_has_the_newest_or_the_first_kept_after_a_number(
    newest: int, after: int | None, numbers: Iterable[int]
) -> None:
    assert list(ring.page(newest, after, 50)) == list(numbers)
