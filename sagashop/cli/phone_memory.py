"""What a phone remembers of the numbers of its messages. web/js/phone-memory.js does the same in a browser.

The queue of a phone delivers in order. So what lies below a number that it delivers, and did not come before, is gone
from the queue: its limit of age or length has struck, or the queue itself has expired. The phone asks for it over HTTP,
and passes over what HTTP has not, either: that is missing. A copy is known by its own number alone.
"""

from __future__ import annotations

MOST_GAPS = 100
"""Older gaps are only counted, so that what a phone remembers is bounded."""


class Memory:
    """One sequence of numbers without a hole: up to `top` each was heard, or lies in a gap."""

    def __init__(self, since: int) -> None:
        self.since = self.top = since
        self._gaps = list[range]()
        self._counted = 0

    def hear(self, number: int) -> bool:
        """Take note of a number that came. Whether it is new; else the phone has had it, and drops it."""
        self.pass_over(number)
        for place, gap in enumerate(self._gaps):
            if number in gap:
                left = range(gap.start, number), range(number + 1, gap.stop)
                self._gaps[place : place + 1] = [part for part in left if part]
                return True
        return False

    def pass_over(self, number: int) -> None:
        """What was not heard up to here is missing; new all the same, should it ever come."""
        if number > self.top:
            self._gaps.append(range(self.top + 1, number + 1))
            self.top = number
        if len(self._gaps) > MOST_GAPS:
            self._counted += len(self._gaps.pop(0))

    @property
    def missing(self) -> int:
        """So many have come by neither way."""
        return self._counted + sum(map(len, self._gaps))


def missing_words(count: int) -> str:
    """What a phone says to its user; nothing where nothing is missing."""
    if not count:
        return ""
    return f"{count} {'message is' if count == 1 else 'messages are'} missing: neither the queue nor HTTP brought them."
