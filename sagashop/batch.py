"""What lets the decisions of one batch build on each other without trusting luck.

The second decision about a row is made on the row as the first will leave it. A guard that compares a counter is not
enough there: if somebody else moves the counter in between, the first commit fails, and the second finds the number it
expects on a row it has never seen. So a decision that builds on another is also guarded by a mark that only that very
commit leaves behind. Decisions that share no row, nearly all of them, carry nothing extra.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from sagashop.effects import Effects, Expect, Put
from sagashop.messages import new_id

MARK = "batch"


def chained(decisions: Sequence[Effects]) -> list[Effects]:
    """The same decisions, in order, where each holds only if those of this batch that it builds on were committed."""
    linked, last_writer, marks = list(decisions), dict[str, int](), dict[tuple[int, str], str]()
    for place, effects in enumerate(decisions):
        for key in sorted({guard.key for guard in effects.expect if isinstance(guard, Expect)} & last_writer.keys()):
            before = last_writer[key]
            if (before, key) not in marks:
                marks[before, key] = new_id()
                mine = Put(key, {MARK: marks[before, key]})  # first, so that a TTL the decision sets holds
                linked[before] = replace(linked[before], write=[mine, *linked[before].write])
            mark = marks[before, key]
            linked[place] = replace(linked[place], expect=[*linked[place].expect, Expect(key, MARK, mark)])
        last_writer.update((write.key, place) for write in effects.write)
    return linked
