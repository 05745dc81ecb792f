"""The checkout saga under any order of arrival: late, twice, lost, racing, timed out, cancelled at any moment.

Hypothesis makes the trouble and then lets everything come to rest; whatever happened, every order must have ended well.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sagashop.saga import WAITING, Status
from services.fulfillment.messages import BookParcel, CancelBooking, ParcelTaken
from services.orders import store
from services.orders.domain import SETTLED, StepOverdue
from tests.unit.checkout_batch import work
from tests.unit.checkout_world import (
    Flight,
    World,
    check_audit,
    check_history,
    check_outcome,
    check_sums,
    undone_twice,
)

somewhere = st.integers(min_value=0, max_value=1_000)
some = st.lists(somewhere, min_size=2, max_size=5)

S = Status
KEPT = StepOverdue | BookParcel | CancelBooking | ParcelTaken
FOLLOWS = {
    S.IDLE: {S.ASKED, S.OWED},
    S.ASKED: {S.DONE, S.REFUSED, S.UNDOING},
    S.OWED: {S.OWED, S.DONE, S.RECALLED, S.UNDOING},
    S.RECALLED: {S.RECALLED, S.DONE},
    S.DONE: {S.UNDOING},
    S.REFUSED: set(),
    S.UNDOING: {S.UNDOING, S.UNDONE},
    S.UNDONE: set(),
}
"""Every status a step may take next: no compensation of what was never asked, and none after its answer."""


class AnyOrderOfArrival(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.placed: list[str] = []

    def _place(self, number: int) -> int:
        return number % len(self.world.flying)

    @precondition(lambda self: len(self.placed) < 3)
    @rule(quantity=st.integers(min_value=1, max_value=5))
    def place(self, quantity: int) -> None:
        self.placed.append(f"o{len(self.placed)}")
        self.world.place(self.placed[-1], quantity)

    @precondition(lambda self: self.world.flying)
    @rule(number=somewhere, keep=st.booleans())
    def arrive(self, number: int, keep: bool) -> None:
        self.world.deliver(self._place(number), keep=keep)

    @precondition(lambda self: self.world.flying)
    @rule()
    def all_arrive(self) -> None:
        self.world.run()

    @precondition(lambda self: len(self.world.flying) > 1)
    @rule(one=somewhere, other=somewhere)
    def race(self, one: int, other: int) -> None:
        """A second worker handles another message between decision and commit of the first."""
        self.world.deliver(self._place(one), meanwhile=lambda: self.world.deliver(self._place(other)))

    @precondition(lambda self: self.world.flying and self.placed)
    @rule(number=somewhere, order=somewhere)
    def cancel_in_between(self, number: int, order: int) -> None:
        order_id = self.placed[order % len(self.placed)]
        self.world.deliver(self._place(number), meanwhile=lambda: self.world.cancel(order_id))

    def _batch(self, numbers: list[int]) -> list[Flight]:
        """Messages that one worker may read together: of one service, in any order."""
        service = self.world.flying[self._place(numbers[0])][0]
        theirs = [flight for flight in self.world.flying if flight[0] == service]
        return [theirs.pop(number % len(theirs)) for number in numbers[: len(theirs)]]

    @precondition(lambda self: self.world.flying)
    @rule(numbers=some, other=somewhere)
    def arrive_together(self, numbers: list[int], other: int) -> None:
        """A batch; before its commit another worker of the service has done a message, perhaps one of the batch."""
        batch = self._batch(numbers)

        def meanwhile() -> None:
            theirs = [place for place, flight in enumerate(self.world.flying) if flight[0] == batch[0][0]]
            self.world.deliver(theirs[other % len(theirs)])

        work(self.world, batch, meanwhile=meanwhile)

    @precondition(lambda self: self.world.flying and self.placed)
    @rule(numbers=some, order=somewhere)
    def cancel_under_a_batch(self, numbers: list[int], order: int) -> None:
        order_id = self.placed[order % len(self.placed)]
        work(self.world, self._batch(numbers), meanwhile=lambda: self.world.cancel(order_id))

    @precondition(lambda self: self.world.flying)
    @rule(numbers=some, committed=st.integers(min_value=1, max_value=5))
    def die_over_a_batch(self, numbers: list[int], committed: int) -> None:
        """After the commit of some, or of all, and before anybody has heard of it."""
        work(self.world, self._batch(numbers), dies_after=committed)

    @precondition(lambda self: self.world.flying)
    @rule(number=somewhere)
    def get_lost(self, number: int) -> None:
        """A command or an answer becomes a dead letter. Timers stay: they are what sends it again; and bookings."""
        if not isinstance(self.world.flying[self._place(number)][1], KEPT):
            self.world.lose(self._place(number))

    @precondition(lambda self: self.world.timers)
    @rule(number=somewhere)
    def time_out(self, number: int) -> None:
        self.world.fire(number % len(self.world.timers))

    @precondition(lambda self: self.placed)
    @rule(order=somewhere)
    def cancel(self, order: int) -> None:
        self.world.cancel(self.placed[order % len(self.placed)])

    @invariant()
    def no_cent_and_no_mug_appears_or_vanishes(self) -> None:
        check_sums(self.world)

    @invariant()
    def the_stored_order_is_the_fold_of_its_history(self) -> None:
        for order_id in self.placed:
            check_history(self.world, order_id)

    @invariant()
    def an_order_is_settled_exactly_when_none_of_its_steps_waits(self) -> None:
        for order_id in self.placed:
            order = self.world.order(order_id)
            waiting = {name for name, state in order.steps.items() if state.status in WAITING}
            assert (order.status in SETTLED) == (not waiting)

    @invariant()
    def a_step_that_waits_has_a_timer_or_its_message_is_on_its_way(self) -> None:
        overdue = [message for _, message in [*self.world.timers.values(), *self.world.flying]]
        for order_id in self.placed:
            for name, state in self.world.order(order_id).steps.items():
                if state.status in WAITING:
                    assert any(
                        (getattr(m, "order_id", ""), getattr(m, "step", ""), getattr(m, "status", ""))
                        == (order_id, name, state.status)
                        for m in overdue
                    )

    @invariant()
    def steps_only_take_the_ways_there_are(self) -> None:
        for order_id in self.placed:
            standing = dict.fromkeys(self.world.saga.steps, S.IDLE)
            for event in self.world.history[store.aggregate(order_id)]:
                for change in getattr(event, "changes", []):
                    assert change.status in FOLLOWS[standing[change.step]]
                    standing[change.step] = change.status

    @invariant()
    def nothing_is_compensated_twice(self) -> None:
        assert not any(undone_twice(self.world, order_id) for order_id in self.placed)

    def teardown(self) -> None:
        self.world.settle()
        for order_id in self.placed:
            check_history(self.world, order_id)
            check_outcome(self.world, order_id)
        check_sums(self.world)
        check_audit(self.world, self.placed)


AnyOrderOfArrival.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAnyOrderOfArrival = pytest.mark.feature("F10")(AnyOrderOfArrival.TestCase)
