"""The event stream of one order: whatever reaches the watcher or the journal, and when, each event is told once."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagashop.errors import Unavailable
from sagashop.journal import JournalRow
from services.orders.domain import Order, OrderStatus
from services.orders.feed import QUEUE, Event, Feed, Watcher
from services.orders.live import Story, is_over
from services.orders.settings import OrdersSettings

QUICK = OrdersSettings(live_heartbeat_s=0.02, live_max_s=2)


def order(version: int, status: OrderStatus = OrderStatus.PLACED, tracking: str = "") -> Order:
    return Order(
        order_id="o1", customer_id="c1", lines=[], total_cents=1, version=version, status=status, tracking=tracking
    )


class SlowJournal:
    """Has one event more each time it is asked, up to `last`; the order's row is at `last` from the start."""

    def __init__(self, first: int, last: int) -> None:
        self.has, self.last = first, last

    def events(self, order_id: str, *, after: int = 0) -> list[JournalRow]:
        self.has = min(self.last, self.has + 1)
        return [
            JournalRow(
                entry_id=f"{n}-0", aggregate=f"order:{order_id}", sequence=n, type="SagaMoved",
                data='{"order_id":"o1"}', time_ms=n, producer="orders",
            )
            for n in range(after + 1, self.has + 1)
        ]  # fmt: skip

    def find(self, order_id: str) -> Order:
        return order(self.last, OrderStatus.REJECTED)


def told(journal: SlowJournal, watcher: Watcher, *, version: int, after: int = 0) -> list[int]:
    story = Story(journal, order(version), watcher, after, QUICK)  # type: ignore[arg-type]
    return [int(found) for text in story.told() for found in re.findall(r"^id: (\d+)$", text, re.MULTILINE)]


def event(sequence: int) -> Event:
    return Event(sequence, "SagaMoved", '{"order_id":"o1"}', 5)


@settings(max_examples=40, deadline=None)
@given(
    last=st.integers(1, 8), after=st.integers(0, 8), version=st.integers(1, 8), seen=st.lists(st.integers(1, 8)),
    journal_first=st.integers(0, 8),
)  # fmt: skip
def test_every_event_is_told_once_and_in_sequence(
    last: int, after: int, version: int, seen: list[int], journal_first: int
) -> None:
    after, version = min(after, last), min(version, last)
    watcher = Watcher()
    for sequence in seen:  # whatever subset, order and repetition the feed delivers
        watcher.put(event(min(sequence, last)))
    journal = SlowJournal(min(journal_first, last), last)
    assert told(journal, watcher, version=version, after=after) == list(range(after + 1, last + 1))


def test_an_event_carries_its_name_its_number_and_its_time() -> None:
    watcher = Watcher()
    watcher.put(event(1))
    story = Story(SlowJournal(1, 1), order(0), watcher, 0, QUICK)  # type: ignore[arg-type]
    texts = list(story.told())
    assert texts[0] == "retry: 2000\n\n"
    assert texts[1] == 'id: 1\nevent: SagaMoved\ndata: {"sequence":1,"time_ms":5,"order_id":"o1"}\n\n'
    assert texts[-1].startswith(":")


def test_a_reader_that_is_too_slow_is_let_go_and_not_told_half_the_story() -> None:
    watcher = Watcher()
    for sequence in range(1, QUEUE + 2):
        watcher.put(event(sequence))
    assert watcher.dropped
    assert told(SlowJournal(0, QUEUE + 1), watcher, version=1) == []


def test_a_stream_ends_when_its_time_is_up() -> None:
    watcher = Watcher()
    brief = OrdersSettings(live_heartbeat_s=0.02, live_max_s=0.1)
    journal = SlowJournal(1, 1)
    journal.find = lambda order_id: order(1)  # type: ignore[method-assign]  # it stays placed
    texts = list(Story(journal, order(1), watcher, 0, brief).told())  # type: ignore[arg-type]
    assert 2 <= sum(text == ": still here\n\n" for text in texts) <= 6


@pytest.mark.parametrize(
    ("status", "tracking", "over"),
    [
        (OrderStatus.PLACED, "", False),
        (OrderStatus.CONFIRMED, "T", False),
        (OrderStatus.COMPLETED, "", False),
        (OrderStatus.COMPLETED, "T", True),
        (OrderStatus.REJECTED, "", True),
        (OrderStatus.REFUNDING, "T", False),
        (OrderStatus.REFUNDED, "", True),
    ],
)
def test_an_order_is_over_when_nothing_more_is_expected(status: OrderStatus, tracking: str, over: bool) -> None:
    assert is_over(order(1, status, tracking)) is over


class Tape:
    """A Redis that has these entries from its start on."""

    def __init__(self, entries: list[tuple[str, dict[str, str]]]) -> None:
        self.entries, self.started = entries, threading.Event()

    def xrevrange(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def xread(self, streams: dict[str, str], **_: Any) -> Any:
        after = next(iter(streams.values()))
        left = [entry for entry in self.entries if entry[0] > after] if self.started.wait(0.05) else []
        if not left:
            threading.Event().wait(0.05)
        return [("stream", left)] if left else []


@pytest.fixture
def tape() -> Tape:
    def entry(number: int, order_id: str) -> tuple[str, dict[str, str]]:
        fields = {"aggregate": f"order:{order_id}", "sequence": str(number), "type": "SagaMoved", "data": "{}"}
        return f"{number}-0", fields | {"time_ms": "1"}

    strange = [("3-1", {"strange": "entry"}), ("3-2", {"aggregate": "order:o1", "sequence": "two"})]
    return Tape([entry(1, "o1"), entry(2, "o2"), *strange, entry(4, "o1")])


def test_the_feed_hands_each_event_to_those_who_watch_its_order(tape: Tape) -> None:
    feed = Feed(tape, tape, limit=3)  # type: ignore[arg-type]
    one, same = feed.subscribe("o1"), feed.subscribe("o1")
    tape.started.set()
    for watcher in (one, same):
        found = [watcher.next(5), watcher.next(5), watcher.next(0.1)]
        assert [event and event.sequence for event in found] == [1, 4, None]


def test_the_feed_takes_no_more_watchers_than_its_limit(tape: Tape) -> None:
    feed = Feed(tape, tape, limit=2)  # type: ignore[arg-type]
    first, _ = feed.subscribe("o1"), feed.subscribe("o2")
    with pytest.raises(Unavailable):
        feed.subscribe("o3")
    feed.unsubscribe("o1", first)
    feed.unsubscribe("o1", first)  # a second time frees no second place
    feed.subscribe("o3")
    with pytest.raises(Unavailable):
        feed.subscribe("o4")


def test_when_the_process_ends_everybody_is_let_go_and_nobody_comes_in(tape: Tape) -> None:
    feed = Feed(tape, tape, limit=2)  # type: ignore[arg-type]
    watcher = feed.subscribe("o1")
    feed.close()
    assert watcher.next(5) is None
    assert watcher.dropped
    with pytest.raises(Unavailable):
        feed.subscribe("o2")
