"""The timeline of an order: what happened when, and how each step of its saga fared. Pure; from the journal's rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from sagashop.journal import JournalRow
from sagashop.saga import Change, Saga, Status, StepState
from services.orders.domain import Order, OrderStatus
from services.orders.history import event_of

ASKING = frozenset({Status.ASKED, Status.OWED})
ANSWERED = frozenset({Status.DONE, Status.REFUSED})


class Entry(Struct, frozen=True, kw_only=True):
    """One event. `time_ms` since 1970, `after_ms` since the order was placed."""

    sequence: int
    event: str
    time_ms: int
    after_ms: int
    reason: str
    changes: list[Change]


class StepSummary(Struct, frozen=True, kw_only=True):
    """One step. Times are since 1970, None where it has not come to that; `done_ms`: it answered, well or with a
    refusal; `duration_ms`: from asking to that.

    attempts, undo_attempts: how often the command and its undo were sent
    """

    step: str
    service: str
    after_pivot: bool
    status: Status
    attempts: int
    asked_ms: int | None
    done_ms: int | None
    duration_ms: int | None
    undo_attempts: int
    undo_asked_ms: int | None
    undone_ms: int | None
    note: str


class Timeline(Struct, frozen=True, kw_only=True):
    """`complete`: it tells everything up to the order as it is now; else the journal is a moment behind."""

    order_id: str
    status: OrderStatus
    placed_ms: int | None
    pivot_ms: int | None
    complete: bool
    entries: list[Entry]
    steps: list[StepSummary]


def timeline_of(saga: Saga, order: Order, rows: Sequence[JournalRow]) -> Timeline:
    """The timeline of an order, from the rows that the journal has of it."""
    placed_ms = rows[0].time_ms if rows else None
    entries = [_entry(row, row.time_ms - rows[0].time_ms) for row in rows]
    return Timeline(
        order_id=order.order_id,
        status=order.status,
        placed_ms=placed_ms,
        pivot_ms=next((entry.time_ms for entry in entries if entry.event == "OrderConfirmed"), None),
        complete=len(rows) >= order.version,
        entries=entries,
        steps=[_summary(saga, order, name, list(_of_step(entries, name))) for name in saga.steps],
    )


def _entry(row: JournalRow, after_ms: int) -> Entry:
    event: Any = event_of(row)
    return Entry(
        sequence=row.sequence, event=row.type, time_ms=row.time_ms, after_ms=after_ms,
        reason=getattr(event, "reason", ""), changes=event.changes,
    )  # fmt: skip


def _of_step(entries: Sequence[Entry], name: str) -> Iterator[tuple[int, Change]]:
    return ((entry.time_ms, change) for entry in entries for change in entry.changes if change.step == name)


def _summary(saga: Saga, order: Order, name: str, told: Sequence[tuple[int, Change]]) -> StepSummary:
    asked_ms = _first(told, ASKING)
    done_ms = _first(told, ANSWERED)
    return StepSummary(
        step=name,
        service=saga.steps[name].ask.channel.partition(".")[0],
        after_pivot=saga.steps[name] in saga.after,
        status=order.steps.get(name, StepState()).status,
        attempts=_most(told, ASKING | {Status.RECALLED}),
        asked_ms=asked_ms,
        done_ms=done_ms,
        duration_ms=done_ms - asked_ms if asked_ms is not None and done_ms is not None else None,
        undo_attempts=_most(told, {Status.UNDOING}),
        undo_asked_ms=_first(told, {Status.UNDOING}),
        undone_ms=_first(told, {Status.UNDONE}),
        note=next((change.note for _, change in reversed(told) if change.note), ""),
    )


def _first(told: Sequence[tuple[int, Change]], statuses: set[Status] | frozenset[Status]) -> int | None:
    return next((time_ms for time_ms, change in told if change.status in statuses), None)


def _most(told: Sequence[tuple[int, Change]], statuses: set[Status] | frozenset[Status]) -> int:
    return max((change.attempt for _, change in told if change.status in statuses), default=0)
