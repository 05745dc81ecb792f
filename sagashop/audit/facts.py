"""What the houses tell the auditor, one JSON line each: the outcome of their own checks, and facts to be joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

EXAMPLES = 5
"""Offenders that a check names; it counts all of them."""


class Check(msgspec.Struct, frozen=True, kw_only=True, tag="check"):
    """One thing that must hold: how many were looked at, how many are wrong, and the first of those in words."""

    house: str
    name: str
    looked_at: int
    wrong: int
    examples: list[str]


class OrderFact(msgspec.Struct, frozen=True, kw_only=True, tag="order"):
    """An order as its journal tells it. `steps`: where each step of its saga stands; `items`: pieces by product."""

    order_id: str
    customer_id: str
    status: str
    settled: bool
    version: int
    total_cents: int
    steps: dict[str, str]
    items: dict[str, int]


class PaymentFact(msgspec.Struct, frozen=True, kw_only=True, tag="payment"):
    """The payment of an order. `events`: how often each of its events is in the journal."""

    order_id: str
    customer_id: str
    status: str
    amount_cents: int
    events: dict[str, int]


class GoodsFact(msgspec.Struct, frozen=True, kw_only=True, tag="goods"):
    """The goods of an order. `items` is empty where nothing was ever put aside."""

    order_id: str
    status: str
    items: dict[str, int]
    events: dict[str, int]


class LetterFact(msgspec.Struct, frozen=True, kw_only=True, tag="letter"):
    """A dead letter; `kind` is the type of the message."""

    house: str
    id: str
    source: str
    kind: str
    reason: str


class End(msgspec.Struct, frozen=True, tag="end"):
    """The last line. An answer without it was cut off."""


Fact = Check | OrderFact | PaymentFact | GoodsFact | LetterFact | End

_decode = msgspec.json.Decoder(Fact).decode_lines
_encode = msgspec.json.Encoder().encode_lines
CHUNK = 500


class OpenWork(msgspec.Struct, frozen=True, kw_only=True):
    """What a house still has to do; `timers` have not all come yet. `tips`: the last id given in each stream.

    elsewhere: what is under way outside its streams: tasks, jobs, messages on RabbitMQ
    unknown:   why that cannot be told
    """

    unread: int
    pending: int
    timers: int
    outbox: int
    unsettled: int
    tips: dict[str, str]
    elsewhere: dict[str, int] = msgspec.field(default_factory=dict)
    unknown: list[str] = msgspec.field(default_factory=list)

    @property
    def quiet(self) -> bool:
        """Nothing to do, and nothing that might be."""
        streams = self.unread or self.pending or self.timers or self.outbox or self.unsettled
        return not (streams or any(self.elsewhere.values()) or self.unknown)


class Tally:
    """Counts while a check is made."""

    def __init__(self, name: str) -> None:
        self.name, self.looked_at, self.wrong = name, 0, 0
        self.examples: list[str] = []

    def saw(self, count: int = 1) -> None:
        """So many were looked at; offenders among them are reported by `found`."""
        self.looked_at += count

    def found(self, offence: str) -> None:
        self.wrong += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(offence)

    def check(self, house: str) -> Check:
        return Check(
            house=house, name=self.name, looked_at=self.looked_at, wrong=self.wrong, examples=list(self.examples)
        )


def to_lines(facts: Iterable[Fact]) -> Iterator[bytes]:
    """Lines of JSON, some at a time, with the end marked. A check goes out at once, since it may have taken long."""
    waiting: list[Fact] = []
    for fact in facts:
        waiting.append(fact)
        if len(waiting) == CHUNK or isinstance(fact, Check):
            yield _encode(waiting)
            waiting = []
    yield _encode([*waiting, End()])


def from_lines(text: bytes) -> tuple[list[Fact], bool]:
    """The facts in these lines, and whether they are complete."""
    whole = text.endswith(b"\n")
    facts = _decode(text if whole else text[: text.rfind(b"\n") + 1])
    complete = bool(facts) and isinstance(facts[-1], End)
    return [fact for fact in facts if not isinstance(fact, End)], complete
