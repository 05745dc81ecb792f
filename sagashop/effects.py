"""What a handler decides: effects, to be applied in one atomic step with the acknowledgement, or not at all.

A handler never talks to a broker. It returns `Effects`; the bus applies them (sagashop/streams/apply.lua). The same
effects are applied to the batch's rows in memory, so that the decisions of one batch see each other.
"""

from __future__ import annotations

from msgspec import Struct, field

from sagashop.jobs.job import Job
from sagashop.messages import Message

Value = str | int
Rows = dict[str, dict[str, str]]
"""Hashes by key, as Redis returns them: every field and value is text. A missing hash is an empty dict."""


FOREVER = 0
"""A `ttl_s` that keeps a hash for good, also one that was to expire."""


class Put(Struct, frozen=True, gc=False):
    """Set fields of a hash. `ttl_s` (seconds) lets the whole hash expire; without it what was said before goes on."""

    key: str
    fields: dict[str, Value]
    ttl_s: int | None = None


class Add(Struct, frozen=True, gc=False):
    """Add to a whole number in a hash. With `floor` it is guarded: the result must not fall below it, else CONFLICT.

    Increments commute, so hot totals (a popular shelf, revenue) need no version.
    """

    key: str
    field: str
    by: int
    floor: int | None = None


class Drop(Struct, frozen=True, gc=False):
    """Delete a hash."""

    key: str


class Rank(Struct, frozen=True, gc=False):
    """Give a member of a sorted set this score. No decision sees it."""

    key: str
    member: str
    score: int


class Expect(Struct, frozen=True, gc=False):
    """A guard: the field must hold this value still; `None` means the field must be absent."""

    key: str
    field: str
    value: Value | None


class Below(Struct, frozen=True, gc=False):
    """A guard: the number must still be below `limit`. A refusal for want of stock rests on this, not on a guess."""

    key: str
    field: str
    limit: int


class Recorded(Struct, frozen=True, gc=False):
    """An event that belongs to an aggregate's history: the journal keeps it under (aggregate, sequence)."""

    message: Message
    aggregate: str
    sequence: int


class Command(Struct, frozen=True, gc=False):
    """A message with an id of its own choice, so that sending it again is recognised."""

    message: Message
    id: str


class SetTimer(Struct, frozen=True, gc=False):
    """Deliver `message` to the service itself in `after_s` seconds; setting an equal one again moves the deadline."""

    message: Message
    after_s: float


class ClearTimer(Struct, frozen=True, gc=False):
    """Forget the timer set with an equal message; nothing happens when it is not there."""

    message: Message


Write = Put | Add | Drop | Rank
Guard = Expect | Below
Emission = Message | Recorded | Command


class Effects(Struct):
    """One decision. When a guard fails nothing is applied, and the handler decides again on fresh state."""

    emit: list[Emission] = field(default_factory=list)
    write: list[Write] = field(default_factory=list)
    expect: list[Guard] = field(default_factory=list)
    timers: list[SetTimer | ClearTimer] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    """For the service's own queue (sagashop.jobs). A job of the same id is overwritten, so what makes the decision hold
    once makes the job once, too."""

    @property
    def emitted(self) -> list[Message]:
        """The bare messages, for tests and for reading."""
        return [e if isinstance(e, Message) else e.message for e in self.emit]

    def __add__(self, other: Effects) -> Effects:
        return Effects(
            self.emit + other.emit, self.write + other.write, self.expect + other.expect,
            self.timers + other.timers, self.jobs + other.jobs,
        )  # fmt: skip


NOTHING = Effects()
"""A message that changes nothing is acknowledged all the same."""


def apply_to(effects: Effects, rows: Rows) -> None:
    """Apply the writes to rows in memory, as the commit applies them in Redis."""
    for write in effects.write:
        match write:
            case Put(key, fields):
                rows.setdefault(key, {}).update({name: str(value) for name, value in fields.items()})
            case Add(key, name, by):
                row = rows.setdefault(key, {})
                row[name] = str(int(row.get(name, 0)) + by)
            case Drop(key):
                rows[key] = {}
