"""Decisions of one batch that build on each other hold together or fall together."""

from __future__ import annotations

from sagashop.batch import chained
from sagashop.effects import NOTHING, Add, Below, Effects, Expect, Put


def step(key: str, version: int) -> Effects:
    return Effects(expect=[Expect(key, "version", version)], write=[Put(key, {"version": version + 1})])


def test_decisions_about_different_rows_carry_nothing_extra() -> None:
    decisions = [step("a", 1), step("b", 1), NOTHING]
    assert chained(decisions) == decisions


def test_a_decision_that_builds_on_another_needs_the_mark_of_that_very_commit() -> None:
    first, second = chained([step("a", 1), step("a", 2)])
    (mark,) = [write.fields["batch"] for write in first.write if isinstance(write, Put) and "batch" in write.fields]
    assert Expect("a", "batch", mark) in second.expect
    again, _ = chained([step("a", 1), step("a", 2)])
    assert again.write[0] != first.write[0], "another attempt at the same commit leaves another mark"


def test_a_chain_of_three_is_linked_one_by_one() -> None:
    linked = chained([step("a", 1), step("a", 2), step("a", 3)])
    assert [len(effects.expect) for effects in linked] == [1, 2, 2]
    assert [len(effects.write) for effects in linked] == [2, 2, 1]


def test_increments_of_a_popular_shelf_are_not_linked() -> None:
    take = Effects(expect=[Below("shelf", "available", 5)], write=[Add("shelf", "available", -1, floor=0)])
    assert chained([take, take]) == [take, take]


def test_decisions_themselves_are_left_as_they_are() -> None:
    decisions = [step("a", 1), step("a", 2)]
    chained(decisions)
    assert decisions == [step("a", 1), step("a", 2)]
