"""The projector: from the stream into the journal and the read models, each event once, whatever breaks in between."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select, text

from sagashop import keys, redis_clients, sql
from sagashop.effects import Effects, Recorded
from sagashop.health import Pulse
from sagashop.journal import JournalRow, history, journal, pages, positions, request_rebuild
from sagashop.messages import Message
from sagashop.projector import LostPosition, Projector, ReadModel
from sagashop.settings import Settings
from sagashop.streams.bus import RedisBus
from sagashop.streams.dead_letters import DeadLetters
from tests.servers import eventually

pytestmark = pytest.mark.feature("F07")
STREAM = keys.stream("toy.events")


class Moved(Message):
    channel: ClassVar[str] = "toy.events"
    by: int


class Sums:
    """A read model: the sum of moves of each aggregate, and how many they were."""

    name = "sums"

    def __init__(self, version: int = 1, *extra: str) -> None:
        self.version = version
        columns = [Column(name, Integer, nullable=False, default=0) for name in ("total", "events", *extra)]
        self.tables: Sequence[Table] = (
            Table("sums", MetaData(), Column("name", String(64), primary_key=True), *columns),
        )

    def apply(self, conn: Connection, rows: Sequence[JournalRow]) -> None:
        (table,) = self.tables
        for row in rows:
            by = int(row.data.split(":")[1].rstrip("}"))
            here = table.c.name == row.aggregate
            change = {"total": table.c.total + by, "events": table.c.events + 1}
            if conn.execute(table.update().where(here).values(change)).rowcount == 0:
                conn.execute(table.insert().values(name=row.aggregate, total=by, events=1))


class Rig:
    def __init__(self, url: str, directory: Path) -> None:
        self.settings = Settings(redis_ledger_url=url, database_url=f"sqlite:///{directory}/toy.db")
        self.bus, self.redis = RedisBus(self.settings), redis_clients.ledger(self.settings)
        self.engine = sql.engine(self.settings.database_url)
        self.letters = DeadLetters(self.redis, "toy")
        self.next: dict[str, int] = {}

    def projector(self, model: ReadModel | None = None) -> Projector:
        projector = Projector("toy", self.settings, self.engine, ["toy.events"], [model or Sums()])
        projector.prepare()
        return projector

    def record(self, *moves: tuple[str, int]) -> None:
        for name, by in moves:
            self.next[name] = self.next.get(name, 0) + 1
            self.bus.admit("toy", Effects([Recorded(Moved(by), name, self.next[name])]))

    def add(self, **fields: Any) -> None:
        whole: Any = {"type": "Moved", "version": "1", "id": "x", "time_ms": "1", "producer": "toy", "data": '{"by":1}'}
        self.redis.xadd(STREAM, whole | fields)

    def project(self, projector: Projector | None = None) -> None:
        projector = projector or self.projector()
        while projector.step(block_ms=5):
            pass

    def sums(self) -> dict[str, tuple[int, int]]:
        with self.engine.connect() as conn:
            return {row.name: (row.total, row.events) for row in conn.execute(text("SELECT * FROM sums"))}

    def journaled(self) -> list[tuple[str, int]]:
        with self.engine.connect() as conn:
            return [(row.aggregate, row.sequence) for page in pages(conn, size=3) for row in page]

    def position(self) -> str:
        with self.engine.connect() as conn:
            return str(conn.execute(select(positions.c.entry_id)).scalar_one())

    def behind(self) -> int | None:
        """Entries that the journal's group still has before it; None where Redis cannot tell."""
        (group,) = self.redis.xinfo_groups(STREAM)
        assert group["pending"] == 0
        behind: int | None = group["lag"]
        return behind

    def ids(self) -> list[str]:
        found: Any = self.redis.xrange(STREAM)
        return [entry for entry, _ in found]


@pytest.fixture
def rig(redis_ledger: str, tmp_path: Path) -> Rig:
    return Rig(redis_ledger, tmp_path)


def test_events_reach_journal_and_read_model_with_the_position(rig: Rig) -> None:
    rig.record(("a", 1), ("b", 10), ("a", 2))
    rig.bus.admit("toy", Effects([Moved(99)]))  # said again, and no part of a history
    rig.project()
    assert rig.journaled() == [("a", 1), ("b", 1), ("a", 2)]
    assert rig.sums() == {"a": (3, 2), "b": (10, 1)}
    assert rig.position() == rig.ids()[-1]
    assert rig.behind() == 0
    with rig.engine.connect() as conn:
        assert [(row.type, row.data) for row in history(conn, "a", after=1)] == [("Moved", '{"by":2}')]


def test_a_crash_between_the_sql_commit_and_the_bookmark_repeats_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.record(("a", 1), ("a", 2))
    crashing = rig.projector()
    crashing.step(5)  # the read model is there; now the events
    rig.record(("a", 4), ("b", 1))

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crashing._redis, "xgroup_setid", crash)
    with pytest.raises(KeyboardInterrupt):
        crashing.step(5)
    assert rig.behind() == 2
    rig.record(("a", 8))
    rig.project()
    assert rig.sums() == {"a": (15, 4), "b": (1, 1)}
    assert rig.behind() == 0


def test_a_crash_before_the_sql_commit_loses_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.project()
    rig.record(("a", 1), ("a", 2))
    crashing = rig.projector()
    monkeypatch.setattr(Sums, "apply", lambda *_: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        crashing.step(5)
    monkeypatch.undo()
    assert rig.journaled() == []
    rig.project()
    assert rig.sums() == {"a": (3, 2)}


def test_a_rebuild_while_events_flow_gives_the_same_rows(rig: Rig) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=rig.projector().run, args=(stopping, Pulse()), daemon=True)
    thread.start()
    for n in range(300):
        rig.record((f"a{n % 7}", n))
        if n % 60 == 30:
            request_rebuild(rig.engine, "sums")
    eventually(lambda: len(rig.journaled()) == 300)
    stopping.set()
    thread.join(10)
    incremental = rig.sums()
    assert sum(total for total, _ in incremental.values()) == sum(range(300))
    request_rebuild(rig.engine, "sums")
    rig.project()
    assert rig.sums() == incremental


def test_a_new_version_of_a_read_model_is_built_from_zero_with_its_new_columns(rig: Rig) -> None:
    rig.record(("a", 1), ("b", 2))
    rig.project()
    rig.record(("a", 4))
    rig.project(rig.projector(Sums(2, "likes")))
    assert rig.sums() == {"a": (5, 2), "b": (2, 1)}
    with rig.engine.connect() as conn:
        assert conn.execute(text("SELECT likes FROM sums")).all() == [(0,), (0,)]


def test_a_second_projector_loses_its_position_and_no_event_is_lost_or_doubled(rig: Rig) -> None:
    first, second = rig.projector(), rig.projector()
    rig.project(first)
    rig.record(("a", 1))
    first.step(5)
    rig.record(("a", 2))
    with pytest.raises(LostPosition):
        second.step(5)
    second.prepare()
    rig.project(second)
    assert rig.journaled() == [("a", 1), ("a", 2)]


def test_of_two_projectors_with_the_same_entries_in_hand_only_one_writes_them(rig: Rig) -> None:
    slow, quick = rig.projector(), rig.projector()
    rig.record(("a", 1))
    found: Any = slow._blocking.xread({STREAM: "0-0"})
    rig.project(quick)
    with pytest.raises(LostPosition):
        slow._move(STREAM, found[0][1])
    assert (rig.journaled(), len(rig.letters)) == ([("a", 1)], 0)


def test_a_group_that_is_behind_or_ahead_of_sql_is_set_right_and_its_lag_is_known_again(rig: Rig) -> None:
    rig.record(*(("a", n) for n in range(6)))
    rig.project()
    for wrong in (rig.ids()[2], "0-0", "99999999999999-0"):
        rig.redis.xgroup_setid(STREAM, "toy-journal", wrong)
        projector = rig.projector()
        assert rig.behind() == 0
        rig.record(("a", 1), ("a", 1))
        assert rig.behind() == 2
        rig.project(projector)
        assert rig.behind() == 0
    assert len(rig.journaled()) == 12


def test_an_event_whose_place_is_taken_is_set_aside_and_the_rest_goes_on(rig: Rig) -> None:
    rig.record(("a", 1), ("a", 2))
    rig.add(aggregate="a", sequence="1", data='{"by":100}')
    rig.record(("a", 4))
    rig.project()
    assert rig.sums() == {"a": (7, 3)}
    (letter,) = rig.letters.page()
    assert letter.fields["data"] == '{"by":100}'
    assert letter.reason.startswith("journal: ")
    assert rig.position() == rig.ids()[-1]
    assert rig.behind() == 0


def test_an_event_that_a_redis_which_lost_its_end_makes_again_is_taken_once(rig: Rig) -> None:
    rig.record(("a", 1), ("a", 2))
    rig.project()
    rig.redis.delete(STREAM)
    rig.next["a"] = 1
    rig.record(("a", 2), ("a", 3))
    rig.project()
    assert rig.sums() == {"a": (6, 3)}
    assert rig.letters.page() == []
    assert rig.position() == rig.ids()[-1]


@pytest.mark.feature("F13")
@pytest.mark.parametrize(
    "broken",
    [
        {"aggregate": "a"},
        {"aggregate": "a", "sequence": "first"},
        {"aggregate": "a", "sequence": "0"},
        {"aggregate": "a", "sequence": "9" * 30},
        {"aggregate": "a" * 200, "sequence": "7"},
        {"aggregate": "a", "sequence": "7", "data": "not json"},
        {"aggregate": "a", "sequence": "7", "data": b"\xff"},
        {"aggregate": b"\xff", "sequence": "7"},
    ],
    ids=str,
)
def test_a_malformed_entry_goes_to_the_dead_letters_and_the_journal_goes_on(rig: Rig, broken: dict[str, Any]) -> None:
    rig.record(("a", 1))
    rig.add(**broken)
    rig.record(("a", 2))
    rig.project()
    assert rig.sums() == {"a": (3, 2)}
    assert len(rig.letters) == 1
    assert rig.position() == rig.ids()[-1]
    assert rig.behind() == 0


@pytest.mark.feature("F13")
def test_an_entry_that_is_no_message_at_all_goes_to_the_dead_letters(rig: Rig) -> None:
    rig.projector()
    rig.redis.xadd(STREAM, {"foo": "bar"})
    rig.record(("a", 1))
    rig.project()
    assert (rig.sums(), len(rig.letters)) == ({"a": (1, 1)}, 1)


def test_a_row_that_a_read_model_cannot_take_stops_neither_the_journal_nor_the_other_rows(rig: Rig) -> None:
    rig.record(("a", 1))
    rig.add(aggregate="b", sequence="1", type="Unheard", data='{"what":"?"}')
    rig.record(("a", 2))
    rig.project()
    assert rig.journaled() == [("a", 1), ("b", 1), ("a", 2)]
    assert rig.sums() == {"a": (3, 2)}
    request_rebuild(rig.engine, "sums")
    rig.project()
    assert rig.sums() == {"a": (3, 2)}


@pytest.mark.parametrize("told", [True, False], ids=["with news", "at rest"])
def test_a_lost_group_starts_again_from_the_position_in_sql(rig: Rig, told: bool) -> None:
    rig.record(("a", 1), ("a", 2))
    stopping = threading.Event()
    thread = threading.Thread(target=rig.projector().run, args=(stopping, Pulse()), daemon=True)
    thread.start()
    eventually(lambda: len(rig.journaled()) == 2)
    rig.redis.xgroup_destroy(STREAM, "toy-journal")
    if told:
        rig.record(("a", 4))
    eventually(lambda: rig.redis.xinfo_groups(STREAM) and rig.behind() == 0)
    stopping.set()
    thread.join(10)
    assert rig.sums() == {"a": (7, 3) if told else (3, 2)}
    assert len(rig.letters) == 0


def test_the_journal_is_append_only_and_knows_each_place_once(rig: Rig) -> None:
    rig.record(*(("a", n) for n in range(20)))
    rig.project()
    rig.redis.delete(STREAM)
    rig.project()  # the stream is gone; the journal is not
    assert rig.journaled() == [("a", n) for n in range(1, 21)]
    assert len({column.name for column in journal.columns} & {"aggregate", "sequence", "entry_id", "data"}) == 4
