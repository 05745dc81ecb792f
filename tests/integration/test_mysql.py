"""What MySQL and MariaDB do in their own way: strictness, locks, half migrations, lost connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sa

from sagashop import migrations, mysql, outbox, sql
from sagashop.bus import connect_bus
from sagashop.messages import Envelope, Message
from services.storefront.app import build
from services.storefront.passwords import Passwords
from services.storefront.settings import StorefrontSettings
from tests.mariadb import MariaDbServer
from tests.servers import eventually

WITH_MIGRATIONS = sorted(folder.parent.name for folder in Path("services").glob("*/migrations"))


class Died(BaseException):
    """The process ends here."""


@pytest.fixture
def url(mariadb_server: MariaDbServer) -> Iterator[str]:
    url = mariadb_server.new_database()
    yield url
    mariadb_server.execute(f"DROP DATABASE {sa.make_url(url).database}")


@pytest.fixture
def database(url: str) -> sa.Engine:
    """With a table of two rows."""
    db = sql.engine(url)
    with db.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE pots (id INT PRIMARY KEY, n INT NOT NULL, label VARCHAR(5))")
        conn.exec_driver_sql("INSERT INTO pots VALUES (1, 0, ''), (2, 0, '')")
    return db


@pytest.fixture(scope="module")
def own_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDbServer]:
    """One that a test may stop, freeze and kill; it runs again at the end of the test."""
    server = MariaDbServer(tmp_path_factory.mktemp("own-mariadb"))
    yield server.start()
    server.close()


# --- statements


def test_a_session_is_strict_and_waits_for_nothing_without_end(database: sa.Engine) -> None:
    names = ("sql_mode", "innodb_lock_wait_timeout", "lock_wait_timeout", "character_set_connection")
    with database.connect() as conn:
        mode, *others = conn.exec_driver_sql(f"SELECT {', '.join('@@' + name for name in names)}").one()
        assert "STRICT_ALL_TABLES" in mode
        assert others == [5, 30, "utf8mb4"]
        with pytest.raises(sa.exc.DataError):
            conn.exec_driver_sql("UPDATE pots SET label = 'longer than five'")


def test_an_update_counts_the_rows_it_found_even_where_it_changed_nothing(database: sa.Engine) -> None:
    with database.begin() as conn:
        assert conn.exec_driver_sql("UPDATE pots SET n = 0").rowcount == 2


def test_of_two_that_lock_each_other_out_one_is_told_that_it_may_try_again(database: sa.Engine) -> None:
    both = threading.Barrier(2)

    def fill(first: int, second: int) -> bool:
        try:
            with database.begin() as conn:
                conn.execute(sa.text("UPDATE pots SET n = n + 1 WHERE id = :id"), {"id": first})
                both.wait(5)
                conn.execute(sa.text("UPDATE pots SET n = n + 1 WHERE id = :id"), {"id": second})
        except sql.GONE:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(fill, (1, 2), (2, 1))) == [False, True]
    with database.connect() as conn:
        assert conn.exec_driver_sql("SELECT n FROM pots").scalars().all() == [1, 1]


def test_who_waits_too_long_for_a_row_is_told_that_it_may_try_again(database: sa.Engine) -> None:
    with database.begin() as one, database.connect() as other:
        one.exec_driver_sql("UPDATE pots SET n = 1")
        other.exec_driver_sql("SET innodb_lock_wait_timeout = 1")
        with pytest.raises(sql.GONE):
            other.exec_driver_sql("UPDATE pots SET n = 2")


def test_a_turn_that_does_not_come_is_given_up_and_a_lost_connection_gives_its_turn_back(database: sa.Engine) -> None:
    with database.connect() as one, database.connect() as other:
        number = one.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
        one.rollback()
        with mysql.turn(one, "writing", 1):
            with pytest.raises(sa.exc.TimeoutError, match="writing"), mysql.turn(other, "writing", 0.1):
                pass
            other.exec_driver_sql(f"KILL {number}")
            with mysql.turn(other, "writing", 1):
                pass


# --- the outbox


class Said(Message):
    channel: ClassVar[str] = "test.events"


def envelope(name: str) -> Envelope:
    return Envelope(message=Said(), id=name, time_ms=1, producer="test")


def test_a_row_that_commits_after_a_later_one_is_published_too(database: sa.Engine) -> None:
    metadata = sa.MetaData()
    outbox.define(metadata)
    metadata.create_all(database)
    taken: list[str] = []

    class Bus:
        def publish(self, messages: list[Envelope], /) -> None:
            taken.extend(envelope.id for envelope in messages)

    relay = outbox.Relay(database, Bus(), [Said])
    with database.begin() as slow:
        outbox.add(slow, envelope("began first"))
        with database.begin() as quick:
            outbox.add(quick, envelope("committed first"))
        assert relay.step() == 1
    assert [relay.step(), relay.step()] == [1, 0]
    assert taken == ["committed first", "began first"]


# --- migrations


@pytest.mark.feature("F51")
@pytest.mark.parametrize("service", WITH_MIGRATIONS)
def test_a_migration_that_dies_after_any_of_its_statements_is_finished_by_the_next_start(
    mariadb_server: MariaDbServer, service: str
) -> None:
    whole = mariadb_server.new_database()
    changes = migrated_until(whole, service, 10_000)
    assert changes > 1
    for last in range(1, changes + 1):
        url = mariadb_server.new_database()
        migrated_until(url, service, last)
        sql.migrate(sql.engine(url), f"services.{service}")
        assert schema(url) == schema(whole), f"after {last} of {changes} changes"
        mariadb_server.execute(f"DROP DATABASE {sa.make_url(url).database}")


def migrated_until(url: str, service: str, last: int) -> int:
    """Migrate, and die after so many changes of tables; how many there were."""
    seen = 0

    def count(_: object, __: object, statement: str, *more: object) -> None:
        nonlocal seen
        seen += statement.strip().startswith(("CREATE", "ALTER", "DROP"))
        if seen == last:
            raise Died

    sa.event.listen(sa.Engine, "after_cursor_execute", count)
    try:
        sql.migrate(sql.engine(url), f"services.{service}")
    except Died:
        pass
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", count)
    return seen


def schema(url: str) -> dict[str, str]:
    with sql.engine(url).connect() as conn:
        tables = conn.exec_driver_sql("SHOW TABLES").scalars().all()
        return {table: conn.exec_driver_sql(f"SHOW CREATE TABLE {table}").one()[1] for table in tables}


def test_a_migration_behind_another_that_hangs_gives_up_and_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "WAIT_S", 0.2)
    with sql.engine(url).connect() as conn, mysql.turn(conn, "migrate.storefront", 1):
        db = sql.engine(url)
        with pytest.raises(sql.MigrationFailed, match="another process holds the lock"):
            sql.migrate(db, "services.storefront")
    sql.migrate(sql.engine(url), "services.storefront")


def test_text_is_compared_letter_by_letter_in_every_table_whatever_the_databases_own_way(url: str) -> None:
    sql.migrate(sql.engine(url), "services.storefront")
    with sql.engine(url).connect() as conn:
        default = conn.exec_driver_sql("SELECT @@collation_database").scalar_one()
        rows = conn.exec_driver_sql(
            "SELECT DISTINCT COLLATION_NAME FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA = DATABASE() AND COLLATION_NAME IS NOT NULL"
        )
        assert (default, rows.scalars().all()) == ("latin1_swedish_ci", ["utf8mb4_nopad_bin"])


# --- a server that goes away


def settings_for(server: MariaDbServer, redis_ledger: str, redis_session: str) -> StorefrontSettings:
    return StorefrontSettings(
        redis_ledger_url=redis_ledger, redis_session_url=redis_session, database_url=server.new_database()
    )


@pytest.mark.parametrize("end", [MariaDbServer.stop, MariaDbServer.kill], ids=["stop", "kill"])
def test_without_the_database_the_answer_is_503_and_it_recovers_by_itself(
    own_mariadb: MariaDbServer, redis_ledger: str, redis_session: str, end: Callable[[MariaDbServer], None]
) -> None:
    settings = settings_for(own_mariadb, redis_ledger, redis_session)
    browser = build(settings, connect_bus(settings), Passwords(8)).test_client()
    assert browser.get("/api/products").status_code == 200
    end(own_mariadb)
    for _ in range(2):
        answer = browser.get("/api/products")
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2")
        assert browser.get("/readyz").status_code == 503
    own_mariadb.start()
    assert browser.get("/api/products").status_code == 200
    assert browser.get("/readyz").status_code == 200


@pytest.fixture
def frozen(own_mariadb: MariaDbServer) -> Iterator[tuple[MariaDbServer, sa.Connection]]:
    """It hangs while a connection is open, which gives up after a second."""
    db = sql.engine(own_mariadb.new_database(), answer_within_s=1)
    with db.connect() as conn:
        own_mariadb.freeze()
        yield own_mariadb, conn
        own_mariadb.thaw()


def test_a_database_that_hangs_is_given_up_in_time(frozen: tuple[MariaDbServer, sa.Connection]) -> None:
    server, conn = frozen

    def answers() -> bool:
        try:
            with conn.engine.connect() as new:
                return new.exec_driver_sql("SELECT 1").scalar() == 1
        except sql.GONE:
            return False

    began = time.monotonic()
    with pytest.raises(sql.GONE):
        conn.exec_driver_sql("SELECT 1")
    assert not answers()
    assert time.monotonic() - began < 10  # two times a second, and a busy machine
    server.thaw()
    eventually(answers)


def test_a_transaction_that_a_restart_cuts_off_leaves_nothing_behind(own_mariadb: MariaDbServer) -> None:
    db = sql.engine(own_mariadb.new_database())
    with db.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE pots (n INT)")

    def cut_off() -> None:
        with db.begin() as conn:
            conn.exec_driver_sql("INSERT INTO pots VALUES (1)")
            own_mariadb.kill()
            conn.exec_driver_sql("INSERT INTO pots VALUES (2)")

    with pytest.raises(sql.GONE):
        cut_off()
    own_mariadb.start()
    with db.connect() as conn:
        assert conn.exec_driver_sql("SELECT n FROM pots").all() == []
