"""Dead letters of one service (F14): listed, shown, mended, replayed, discarded. Each leaves exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from sagashop import keys
from sagashop.messages import now_ms
from sagashop.streams.commit import Scripts

if TYPE_CHECKING:
    from redis import Redis

ORIGINAL = "original."
MANY = 1000
"""More fields than a script can take one by one are kept as JSON in one field, `original`."""


class DeadLetter(msgspec.Struct, frozen=True):
    """An entry that could not be handled, with why.

    fields: the original wire fields; source and entry: where it stood; attempts: how often it was tried
    """

    id: str
    source: str
    entry: str
    reason: str
    traceback: str
    attempts: int
    time_ms: int
    fields: dict[str, str]


class DeadLetters:
    """The dead-letter stream of one service."""

    def __init__(self, redis: Redis, service: str) -> None:
        self._redis, self._scripts = redis, Scripts(redis)
        self._stream, self._replay = keys.dead_letters(service), keys.replay(service)

    def __len__(self) -> int:
        return int(self._redis.xlen(self._stream))

    def page(self, *, after: str = "-", limit: int = 50) -> list[DeadLetter]:
        """The oldest first, those after this id."""
        start = after if after == "-" else f"({after}"
        found: Any = self._redis.xrange(self._stream, min=start, count=limit)
        return [_letter(*entry) for entry in found]

    def get(self, letter_id: str) -> DeadLetter | None:
        found: Any = self._redis.xrange(self._stream, min=letter_id, max=letter_id, count=1)
        return _letter(*found[0]) if found else None

    def replay(self, letter_id: str, changes: Mapping[str, str] | None = None) -> bool:
        """Hand the original fields, with these changes, to the service again; False where it is gone already."""
        letter = self.get(letter_id)
        if letter is None:
            return False
        fields = {**letter.fields, **(changes or {})}
        pairs = [part for pair in fields.items() for part in pair]
        return bool(self._scripts.run("replay", [self._stream, self._replay], [letter_id, *pairs]))

    def discard(self, letter_id: str) -> bool:
        """Drop a dead letter for good; False where it is gone already."""
        return bool(self._scripts.run("replay", [self._stream, self._replay], [letter_id]))


def letter_fields(
    fields: Mapping[str, str], *, source: str, entry: str, reason: str, details: str, attempts: int, consumer: str
) -> list[str]:
    """A dead letter as XADD takes it: name, value, name, value."""
    original = {ORIGINAL + name: value for name, value in fields.items()}
    if len(original) > MANY:
        original = {"original": json.dumps(dict(fields))}  # escapes foreign bytes, and brings them back
    letter = {
        **original, "source": source, "entry": entry, "reason": reason, "traceback": details,
        "attempts": str(attempts), "time_ms": str(now_ms()), "consumer": consumer,
    }  # fmt: skip
    return [part for pair in letter.items() for part in pair]


def _letter(letter_id: str, fields: dict[str, str]) -> DeadLetter:
    original = {name.removeprefix(ORIGINAL): value for name, value in fields.items() if name.startswith(ORIGINAL)}
    return DeadLetter(
        id=letter_id, source=fields["source"], entry=fields["entry"], reason=fields["reason"],
        traceback=fields["traceback"], attempts=int(fields["attempts"]), time_ms=int(fields["time_ms"]),
        fields=original or json.loads(fields["original"]),
    )  # fmt: skip


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """For answers: foreign bytes, which JSON cannot hold, are shown escaped."""
    return {name: _printable(value) for name, value in msgspec.structs.asdict(letter).items()}


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return dict(_pairs(value))
    return value


def _pairs(fields: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        yield _printable(name), _printable(value)
