"""Cursors come back as they went out, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from sagashop import pages


def test_a_cursor_comes_back_as_the_position_it_was_made_of() -> None:
    for position in [(1, "a"), (2**40, "Ünïcode / + ="), (0, "")]:
        assert pages.decode(pages.encode(position), tuple[int, str]) == position


def test_no_cursor_is_the_first_page() -> None:
    assert pages.decode(None, tuple[int]) is None
    assert pages.decode("", tuple[int]) is None


@pytest.mark.parametrize("cursor", ["x", "%%%", "é", "bm90IGpzb24", pages.encode(("text",)), pages.encode((1, 2))])
def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(pages.BadCursor) as refused:
        pages.decode(cursor, tuple[int])
    assert (refused.value.kind, refused.value.status) == ("bad-cursor", 422)
