"""The kept end of a sequence of numbers, in one hash that is used as a ring: a writer sets one field, a reader reads a
page of fields, and nobody ever reads the whole.

It is longer than the queue of a phone, so that a phone that was away until its queue dropped messages can fetch them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sagashop.bus import Bus

KEPT = 1_000


class Numbered(Protocol):
    @property
    def number(self) -> int: ...


N = TypeVar("N", bound=Numbered)


def slot(number: int) -> str:
    """The field that has this number, until the thousandth after it takes its place."""
    return str(number % KEPT)


def page(newest: int, after: int | None, size: int) -> range:
    """Which numbers are read: the newest ones, or the first of those kept after a number."""
    oldest = max(1, newest - KEPT + 1)
    first = max(oldest, newest - size + 1 if after is None else after + 1)
    return range(first, min(newest, first + size - 1) + 1)


def read(bus: Bus, key: str, numbers: range, decode: Callable[[str], N]) -> list[N]:
    """What has these numbers, newest first; without what others have just overwritten.

    Raises:
        Unavailable: redis-ledger does not answer
    """
    if not numbers:
        return []
    found = [decode(text) for text in bus.pick(key, [slot(number) for number in reversed(numbers)]) if text]
    return [each for each in found if each.number in numbers]
