"""The outbox and the migrations, on real databases."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sa

from sagashop import log, outbox, sql
from sagashop.errors import MalformedMessage, NotReachable, Unavailable
from sagashop.messages import Envelope, Message
from tests.servers import eventually


class Priced(Message):
    channel: ClassVar[str] = "test.events"

    sku: str
    price_cents: int


class Forgotten(Message):
    channel: ClassVar[str] = "test.events"


class FakeBus:
    """Remembers what was published; `broken` refuses everything, `crash_after` dies once it has taken a batch."""

    def __init__(self) -> None:
        self.published: list[Envelope] = []
        self.broken = False
        self.crash_after = False

    def publish(self, messages: Sequence[Envelope]) -> None:
        if self.broken:
            raise Unavailable
        self.published += messages
        if self.crash_after:
            raise KeyboardInterrupt

    @property
    def prices(self) -> list[int]:
        return [e.message.price_cents for e in self.published if isinstance(e.message, Priced)]


@pytest.fixture
def database(database_url: str) -> sa.Engine:
    engine = sql.engine(database_url)
    metadata = sa.MetaData()
    outbox.define(metadata)
    metadata.create_all(engine)
    return engine


def put(database: sa.Engine, *prices: int) -> None:
    with database.begin() as conn:
        outbox.add(conn, *(outbox.wrap(Priced(sku="MUG", price_cents=price), "test") for price in prices))


@pytest.mark.sql
def test_messages_are_published_in_order_batch_by_batch_and_then_gone(database: sa.Engine) -> None:
    bus = FakeBus()
    relay = outbox.Relay(database, bus, [Priced], batch=2)
    put(database, 1, 2, 3)
    put(database, 4, 5)
    assert [relay.step() for _ in range(4)] == [2, 2, 1, 0]
    assert bus.prices == [1, 2, 3, 4, 5]


@pytest.mark.sql
def test_an_envelope_comes_out_as_it_went_in(database: sa.Engine) -> None:
    bus = FakeBus()
    with log.bound(trace="00-aa-bb-01"):
        sent = outbox.wrap(Priced(sku="Ünïcode", price_cents=1), "test")
    with database.begin() as conn:
        outbox.add(conn, sent)
    outbox.Relay(database, bus, [Priced]).step()
    assert bus.published == [sent]
    assert sent.trace == "00-aa-bb-01"


@pytest.mark.sql
def test_a_large_message_is_kept_whole(database: sa.Engine) -> None:
    bus, sent = FakeBus(), outbox.wrap(Priced(sku="ö🫖" * 50_000, price_cents=1), "test")
    with database.begin() as conn:
        outbox.add(conn, sent)
    outbox.Relay(database, bus, [Priced]).step()
    assert bus.published == [sent]


@pytest.mark.sql
def test_a_transaction_that_rolls_back_publishes_nothing(database: sa.Engine) -> None:
    bus = FakeBus()
    with database.connect() as conn:
        outbox.add(conn, outbox.wrap(Priced(sku="MUG", price_cents=1), "test"))
        conn.rollback()
    assert outbox.Relay(database, bus, [Priced]).step() == 0
    assert bus.published == []


@pytest.mark.sql
def test_a_relay_that_dies_after_publishing_publishes_again_with_the_same_id(database: sa.Engine) -> None:
    bus = FakeBus()
    put(database, 1)
    bus.crash_after = True
    with pytest.raises(KeyboardInterrupt):
        outbox.Relay(database, bus, [Priced]).step()
    bus.crash_after = False
    outbox.Relay(database, bus, [Priced]).step()
    assert bus.prices == [1, 1]
    assert len({envelope.id for envelope in bus.published}) == 1


@pytest.mark.sql
def test_a_type_the_relay_does_not_know_stops_it_rather_than_being_skipped(database: sa.Engine) -> None:
    with database.begin() as conn:
        outbox.add(conn, outbox.wrap(Forgotten(), "test"))
    put(database, 1)
    bus = FakeBus()
    with pytest.raises(MalformedMessage):
        outbox.Relay(database, bus, [Priced]).step()
    assert bus.published == []


@pytest.mark.sql
def test_the_relay_waits_for_a_bus_that_is_away_and_then_delivers_all(database: sa.Engine) -> None:
    bus, stopping = FakeBus(), threading.Event()
    bus.broken = True
    put(database, 1, 2)
    thread = threading.Thread(target=outbox.Relay(database, bus, [Priced]).run, args=(stopping, 0.01))
    thread.start()
    bus.broken = False
    try:
        eventually(lambda: bus.prices == [1, 2])
        put(database, 3)
        eventually(lambda: bus.prices == [1, 2, 3])
    finally:
        stopping.set()
        thread.join(5)
    assert not thread.is_alive()


@pytest.mark.sql
def test_writers_at_once_lose_nothing(database: sa.Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda price: put(database, price), range(40)))
    bus = FakeBus()
    assert outbox.Relay(database, bus, [Priced]).step() == 40
    assert sorted(bus.prices) == list(range(40))


@pytest.mark.sql
def test_reading_and_then_writing_in_turn_counts_right(database: sa.Engine) -> None:
    with database.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE tally (n INTEGER)")
        conn.exec_driver_sql("INSERT INTO tally VALUES (0)")

    def one_more(_: int) -> None:
        with sql.writing(database) as conn:
            n = conn.exec_driver_sql("SELECT n FROM tally").scalar_one()
            conn.execute(sa.text("UPDATE tally SET n = :n"), {"n": n + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one_more, range(40)))
    with database.connect() as conn:
        assert conn.exec_driver_sql("SELECT n FROM tally").scalar_one() == 40


def test_sqlite_is_set_up_for_many_processes(database: sa.Engine) -> None:
    with database.connect() as conn:
        settings = [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS]
    assert settings == ["wal", 5000, 1, 2]


PRAGMAS = ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")


def test_many_may_be_the_first_to_open_a_file(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def first_to_write(number: int) -> None:
        engine = sql.engine(f"sqlite:///{tmp_path}/{number}.db")
        together.wait(timeout=10)
        with engine.begin() as conn:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
        engine.dispose()

    with ThreadPoolExecutor(6) as pool:
        for number in range(150):  # without a second attempt about one file in twenty is refused to somebody
            list(pool.map(first_to_write, [number] * 6))


@pytest.mark.parametrize("url", ["", "shop.db", "nonsense://"])
def test_a_database_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(NotReachable, match="DATABASE_URL"):
        sql.engine(url)


FIRST = """
import sqlalchemy as sa
from alembic import op
from sagashop import outbox
revision = "0001"
down_revision = None
def upgrade():
    op.create_table(outbox.NAME, *outbox.columns(), sqlite_autoincrement=True)
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO things (id) VALUES (1)")
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    with op.batch_alter_table("things") as table:
        table.add_column(sa.Column("name", sa.String(20)))
    op.execute("INSERT INTO things (id, name) VALUES (2, 'two')")
    {more}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service `shelf` with one migration; its folder of migrations."""
    folder = tmp_path / "shelf" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "0001_first.py").write_text(FIRST)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("shelf", None)
    return folder


def things(url: str) -> list[int]:
    with sql.engine(url).connect() as conn:
        return [row[0] for row in conn.exec_driver_sql("SELECT id FROM things ORDER BY id")]


@pytest.mark.sql
def test_migrating_twice_and_with_a_new_revision_runs_each_once(database_url: str, package: Path) -> None:
    url = database_url
    for _ in range(2):
        sql.migrate(sql.engine(url), "shelf")
    assert things(url) == [1]
    (package / "0002_second.py").write_text(SECOND.format(more=""))
    for _ in range(2):
        sql.migrate(sql.engine(url), "shelf")
    assert things(url) == [1, 2]
    put(sql.engine(url), 1)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, package: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    sql.migrate(sql.engine(url), "shelf")
    (package / "0002_second.py").write_text(SECOND.format(more="op.execute('INSERT INTO nowhere VALUES (1)')"))
    with pytest.raises(sql.MigrationFailed, match=r"shelf.*nowhere"):
        sql.migrate(sql.engine(url), "shelf")
    assert things(url) == [1]
    (package / "0002_second.py").write_text(SECOND.format(more=""))
    sql.migrate(sql.engine(url), "shelf")
    assert things(url) == [1, 2]


def test_a_package_without_migrations_is_named() -> None:
    with pytest.raises(sql.MigrationFailed, match="tests has no folder"):
        sql.migrate(sql.engine("sqlite://"), "tests")


@pytest.mark.sql
def test_processes_that_start_together_migrate_once(tmp_path: Path, database_url: str, package: Path) -> None:
    url = database_url
    (package / "0002_second.py").write_text(SECOND.format(more=""))
    context = multiprocessing.get_context("spawn")
    starters = [context.Process(target=_migrate, args=(str(tmp_path), url)) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(60)
    assert [starter.exitcode for starter in starters] == [0] * 4
    assert things(url) == [1, 2]


def _migrate(path: str, url: str) -> None:
    sys.path.insert(0, path)
    sql.migrate(sql.engine(url), "shelf")
