"""The order list: folded from the journal's rows, in batches of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Connection

from contracts.orders import (
    CancellationRequested,
    CompensationStarted,
    Line,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderShipped,
    SagaMoved,
)
from sagashop import sql
from sagashop.journal import JournalRow
from sagashop.messages import Message, encode
from sagashop.saga import Change, Status
from services.orders.domain import EVENTS, OrderStatus
from services.orders.readmodel import OrderList, order_list, page, status_after
from services.orders.views import ListedOrder

LINE = Line(sku="MUG", quantity=2, price_cents=900)
UNDO_STOCK = [Change("stock", Status.UNDOING)]
UNDO_SHIPMENT = [Change("shipment", Status.UNDOING), Change("capture", Status.RECALLED)]


@pytest.fixture
def conn() -> Iterator[Connection]:
    engine = sql.engine("sqlite://")
    order_list.create(engine)
    with engine.connect() as conn:
        yield conn


def placed(order_id: str, customer_id: str = "c1") -> OrderPlaced:
    return OrderPlaced(order_id=order_id, customer_id=customer_id, lines=[LINE], total_cents=1_800)


def rows(*events: Message, start_ms: int = 1_000) -> list[JournalRow]:
    """One event each millisecond."""
    return [
        JournalRow(
            entry_id=f"{number}-0", aggregate=f"order:{event.order_id}", sequence=number, type=type(event).__name__,  # type: ignore[attr-defined]
            data=encode(event), time_ms=start_ms + number, producer="orders",
        )
        for number, event in enumerate(events)
    ]  # fmt: skip


REJECTED_STORY = [
    placed("o1"),
    SagaMoved(order_id="o1"),
    CompensationStarted(order_id="o1", reason="no money", changes=UNDO_STOCK),
    OrderRejected(order_id="o1", customer_id="c1", reason=""),
]


@pytest.mark.parametrize("batches", [[slice(0, 4)], [slice(0, 1), slice(1, 4)], [slice(i, i + 1) for i in range(4)]])
def test_a_story_gives_the_same_row_however_it_is_cut_into_batches(conn: Connection, batches: Sequence[slice]) -> None:
    story = rows(*REJECTED_STORY)
    for batch in batches:
        OrderList().apply(conn, story[batch])

    assert page(conn, limit=10) == [
        ListedOrder(
            order_id="o1", customer_id="c1", status=OrderStatus.REJECTED, total_cents=1_800, line_count=1,
            placed_ms=1_000, updated_ms=1_003, reason="no money",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (OrderConfirmed(order_id="o1", customer_id="c1", lines=[], total_cents=1), OrderStatus.CONFIRMED),
        (OrderCompleted(order_id="o1", customer_id="c1", total_cents=1), OrderStatus.COMPLETED),
        (CompensationStarted(order_id="o1", reason="x"), OrderStatus.REJECTING),
        (CancellationRequested(order_id="o1", changes=UNDO_STOCK), OrderStatus.CANCELLING),
        (CancellationRequested(order_id="o1", changes=UNDO_SHIPMENT), OrderStatus.REFUNDING),
        (OrderRejected(order_id="o1", customer_id="c1", reason="x"), OrderStatus.REJECTED),
        (OrderCancelled(order_id="o1", customer_id="c1"), OrderStatus.CANCELLED),
        (OrderRefunded(order_id="o1", customer_id="c1", total_cents=1), OrderStatus.REFUNDED),
        (OrderShipped(order_id="o1", customer_id="c1", tracking="T"), None),
        (SagaMoved(order_id="o1"), None),
        (placed("o1"), None),
    ],
)
def test_each_event_brings_its_status(event: Message, status: OrderStatus | None) -> None:
    assert status_after(event) == status


def test_no_event_of_an_order_is_forgotten() -> None:
    table = test_each_event_brings_its_status.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {type(event) for event, _ in table} == set(EVENTS)


def test_pages_are_newest_first_without_gap_or_repetition_even_at_equal_times(conn: Connection) -> None:
    for name in ("a", "b", "c"):
        OrderList().apply(conn, rows(placed(name), start_ms=5))
    OrderList().apply(conn, rows(placed("d"), start_ms=4))

    first = page(conn, limit=2)
    second = page(conn, limit=2, after=(first[-1].placed_ms, first[-1].order_id))
    assert [order.order_id for order in first + second] == ["c", "b", "a", "d"]


def test_the_list_is_narrowed_by_customer_and_status(conn: Connection) -> None:
    done = OrderCompleted(order_id="b", customer_id="c1", total_cents=1)
    OrderList().apply(conn, rows(placed("a"), placed("b"), placed("c", "c2"), done))

    assert [order.order_id for order in page(conn, limit=9, customer_id="c1")] == ["b", "a"]
    assert [order.order_id for order in page(conn, limit=9, statuses=[OrderStatus.COMPLETED])] == ["b"]
    assert page(conn, limit=9, customer_id="c2", statuses=[OrderStatus.COMPLETED]) == []
