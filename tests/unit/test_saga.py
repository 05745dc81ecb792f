"""The saga engine alone: its tables have no blank cell, and each rule does what it says."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import pytest

from sagashop.messages import Message
from sagashop.saga import (
    ON_CANCEL,
    RULES,
    Change,
    Incoming,
    Moves,
    Phase,
    Pivot,
    Rule,
    Saga,
    Status,
    Step,
    StepState,
    after_changes,
)
from services.orders.domain import EVENTS, PHASE, SETTLED, OrderStatus
from services.orders.saga import checkout

pytestmark = pytest.mark.feature("F10")


def message(name: str) -> type[Message]:
    return type(name, (Message,), {"channel": "toy.events", "__annotations__": {"channel": ClassVar[str]}})


Ask, Ok, No, Undo, Undone, Go, Gone, Back, WentBack = map(
    message, ("Ask", "Ok", "No", "Undo", "Undone", "Go", "Gone", "Back", "WentBack")
)
toy = Saga(
    "toy",
    Step(name="one", ask=Ask, ok=Ok, refused=No, undo=Undo, undone=Undone, within_s=10),
    Pivot(),
    Step(name="two", ask=Go, ok=Gone, undo=Back, undone=WentBack, undo_needs_ok=True, within_s=120),
)


def standing(one: Status, two: Status = Status.IDLE, attempt: int = 1) -> dict[str, StepState]:
    return {"one": StepState(one, attempt), "two": StepState(two, attempt)}


def test_every_message_has_a_rule_in_every_status() -> None:
    assert set(RULES) == set(product(Status, Incoming))


def test_every_rule_is_used() -> None:
    assert set(RULES.values()) == set(Rule)


def test_a_cancellation_has_a_meaning_in_every_phase() -> None:
    assert set(ON_CANCEL) == set(Phase)


def test_every_order_status_has_its_phase_and_every_phase_its_status() -> None:
    assert set(PHASE) == set(OrderStatus)
    assert set(PHASE.values()) == set(Phase)
    ended = {Phase.COMPLETE, Phase.ENDED_BACK, Phase.ENDED_RECALLED}
    assert {status for status in OrderStatus if PHASE[status] in ended} == SETTLED


def test_every_event_of_an_order_is_known_to_its_fold() -> None:
    assert len({event.__name__ for event in EVENTS}) == len(EVENTS) == 10


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("reply", [Ok, No, Undone])
def test_a_reply_moves_a_step_before_the_pivot_only_when_it_waits_for_it(status: Status, reply: type[Message]) -> None:
    phase = Phase.BACK if status in (Status.UNDOING, Status.UNDONE) else Phase.FORWARD
    moves = toy.answered(phase, standing(status), reply())
    if (status, reply) in {(Status.ASKED, Ok), (Status.ASKED, No), (Status.UNDOING, Undone)}:
        assert moves.changes
    elif status not in (Status.OWED, Status.RECALLED):  # a step before the pivot is never in these
        assert moves == Moves(phase)


def test_the_first_step_is_asked_at_the_start() -> None:
    moves = toy.start()
    assert moves == Moves(Phase.FORWARD, (Change("one", Status.ASKED),))
    assert toy.command(moves.changes[0]) is Ask


def test_the_last_step_before_the_pivot_passes_it_and_asks_what_follows() -> None:
    moves = toy.answered(Phase.FORWARD, standing(Status.ASKED), Ok())
    assert moves == Moves(Phase.COMMITTED, (Change("one", Status.DONE), Change("two", Status.OWED)))


def test_a_refusal_of_the_only_step_ends_the_saga_at_once() -> None:
    assert toy.answered(Phase.FORWARD, standing(Status.ASKED), No()).phase is Phase.ENDED_BACK


def test_a_step_without_an_answer_is_undone_since_it_may_have_been_carried_out() -> None:
    moves = toy.overdue(Phase.FORWARD, standing(Status.ASKED), "one", Status.ASKED, 1)
    assert moves.phase is Phase.BACK
    assert [toy.command(change) for change in moves.changes] == [Undo]


@pytest.mark.parametrize(("status", "attempt"), [(Status.ASKED, 2), (Status.UNDOING, 1), (Status.DONE, 1)])
def test_a_timer_of_another_status_or_attempt_is_ignored(status: Status, attempt: int) -> None:
    assert toy.overdue(Phase.FORWARD, standing(Status.ASKED), "one", status, attempt) == Moves(Phase.FORWARD)


def test_past_the_pivot_a_refusal_raises_an_alert_and_changes_nothing() -> None:
    strict = Saga(
        "strict",
        Step(name="one", ask=Ask, ok=Ok, refused=No, undo=Undo, undone=Undone),
        Pivot(),
        Step(name="two", ask=Go, ok=Gone, refused=Back),
    )
    moves = strict.answered(Phase.COMMITTED, standing(Status.DONE, Status.OWED), Back())
    assert (moves.phase, moves.changes) == (Phase.COMMITTED, ())
    assert moves.alert


def test_a_cancellation_past_the_pivot_waits_for_a_step_whose_undo_needs_it_done() -> None:
    recalled = toy.cancelled(Phase.COMMITTED, standing(Status.DONE, Status.OWED))
    assert recalled == Moves(Phase.RECALL, (Change("two", Status.RECALLED),))
    assert toy.command(recalled.changes[0]) is None, "its command is on its way already"
    done = toy.answered(Phase.RECALL, standing(Status.DONE, Status.RECALLED), Gone())
    assert [toy.command(change) for change in done.changes] == [None, Back]


def test_a_recalled_step_that_does_not_answer_is_asked_again() -> None:
    moves = toy.overdue(Phase.RECALL, standing(Status.DONE, Status.RECALLED), "two", Status.RECALLED, 1)
    assert moves.changes == (Change("two", Status.RECALLED, 2, "no answer in time"),)
    assert toy.command(moves.changes[0]) is Go


def test_timeouts_double_up_to_a_minute_and_never_fall_below_the_first() -> None:
    assert [toy.seconds_to_wait("one", attempt) for attempt in (1, 2, 3, 4)] == [10, 20, 40, 60]
    assert [toy.seconds_to_wait("two", attempt) for attempt in (1, 2)] == [120, 120]


def test_a_command_is_repeated_for_as_long_as_it_takes() -> None:
    assert toy.seconds_to_wait("one", 1_000_000) == 60


def test_timeouts_are_settings() -> None:
    quick = checkout.with_timeouts({"stock": 0.5})
    assert quick.seconds_to_wait("stock", 1) == 0.5
    assert quick.seconds_to_wait("payment", 1) == checkout.seconds_to_wait("payment", 1)
    assert list(quick.steps) == list(checkout.steps)


def test_a_saga_has_exactly_one_pivot_with_a_step_before_it() -> None:
    step = Step(name="one", ask=Ask, ok=Ok)
    for parts in ([step], [Pivot(), step], [step, Pivot(), Pivot()]):
        with pytest.raises(ValueError, match="pivot"):
            Saga("wrong", *parts)


def test_the_last_change_of_a_step_counts() -> None:
    changes = (Change("two", Status.DONE), Change("two", Status.UNDOING))
    assert after_changes(standing(Status.DONE, Status.RECALLED), changes)["two"] == StepState(Status.UNDOING, 1)
