"""One pass over a journal: its order, and whether it agrees with the stream it was written from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select

from sagashop import keys
from sagashop.audit.facts import Check, Tally
from sagashop.journal import JournalRow, pages, read_models
from sagashop.streams import tail

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.projector import ReadModel

PAGE = 5_000


class Past:
    """Reads the journal once. Histories with a gap are reported and left out of what follows.

    last:    sequence of the last event, by aggregate
    last_ms: when that was
    """

    def __init__(self, service: str, engine: Engine, redis: Redis, channel: str) -> None:
        self.service, self._engine, self._redis, self._channel = service, engine, redis, channel
        self.last: dict[str, int] = {}
        self.last_ms: dict[str, int] = {}
        self.broken: set[str] = set()
        self._seen: dict[int, str] = {}
        self._gaps = Tally("the journal has every event, without a gap")

    def rows(self) -> Iterator[JournalRow]:
        """The rows of unbroken histories, in order."""
        with self._engine.connect() as conn:
            for page in pages(conn, size=PAGE):
                self._gaps.saw(len(page))
                yield from filter(self._fits, page)

    def _fits(self, row: JournalRow) -> bool:
        self._seen[_mark(row.aggregate, str(row.sequence), row.type, row.data)] = row.entry_id
        expected = self.last.get(row.aggregate, 0) + 1
        self.last[row.aggregate], self.last_ms[row.aggregate] = row.sequence, row.time_ms
        if row.sequence != expected:
            self.broken.add(row.aggregate)
            self._gaps.found(f"{row.aggregate}: {row.sequence} follows {expected - 1}")
        return row.aggregate not in self.broken

    def checks(self) -> Iterator[Check]:
        """After all rows were read: gaps, and the comparison with what the stream still holds."""
        yield self._gaps.check(self.service)
        kept, lost = (
            Tally("every event in the stream is in the journal"),
            Tally("the stream has every event since its first entry"),
        )
        first = ""
        for entry_id, fields in tail.read_all(self._redis, keys.stream(self._channel)):
            first = first or entry_id
            if not fields.get("aggregate"):
                continue
            kept.saw()
            mark = _mark(fields["aggregate"], fields.get("sequence"), fields.get("type"), fields.get("data"))
            if self._seen.pop(mark, None) is None:
                kept.found(
                    f"{entry_id}: {fields.get('type')}, number {fields.get('sequence')} of {fields['aggregate']}"
                )
        lost.saw(kept.looked_at)
        for entry_id in self._seen.values():
            if first and _place(entry_id) >= _place(first):
                lost.found(f"{entry_id} is in the journal and not in the stream")
        self._seen.clear()
        yield kept.check(self.service)
        yield lost.check(self.service)

    def model_is_current(self, model: ReadModel) -> Check:
        """Whether the projector has built this version of the read model."""
        tally = Tally(f"the read model {model.name} is of the current version")
        tally.saw()
        with self._engine.connect() as conn:
            version = conn.scalar(select(read_models.c.version).where(read_models.c.name == model.name))
        if version != model.version:
            tally.found(f"it is of version {version}, and should be of {model.version}")
        return tally.check(self.service)


def _mark(*fields: str | None) -> int:
    """A fingerprint: a journal has too many events to keep their texts."""
    return hash(fields)


def _place(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
