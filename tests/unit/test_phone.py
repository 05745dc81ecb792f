"""What a phone makes of the numbers of its messages, whatever happens to them on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagashop.cli.phone import Memory


@pytest.mark.feature("F41")
def test_the_next_number_is_new_a_lower_one_a_copy_and_a_higher_one_tells_of_a_gap() -> None:
    memory = Memory(since=7)
    assert [memory.judge(number) for number in (7, 8, 9)] == ["repeated", "new", "gap"]
    memory.take(8)
    assert [memory.judge(number) for number in (8, 9, 10)] == ["repeated", "new", "gap"]
    assert memory.missing(10) == 2


@pytest.mark.feature("F41")
@given(st.lists(st.integers(1, 12), max_size=40))
def test_in_whatever_order_and_however_often_they_come_each_is_shown_once_and_none_is_skipped(came: list[int]) -> None:
    memory, shown = Memory(since=0), list[int]()
    for number in came:
        if memory.judge(number) == "gap":
            for fetched in range(memory.seen + 1, 13):  # all there are
                memory.take(fetched)
                shown.append(fetched)
        elif memory.judge(number) == "new":
            memory.take(number)
            shown.append(number)
    assert shown == list(range(1, len(shown) + 1))
    assert memory.missing(max(came, default=0)) == 0
