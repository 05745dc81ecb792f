"""SQL databases: SQLite where nothing else is given, MySQL or MariaDB by DATABASE_URL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from sagashop import mysql
from sagashop.errors import NotReachable, SagashopError

BUSY_TIMEOUT_MS = 5_000
POOL_WAIT_S = 2

GONE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
"""The database is away, busy or not ready yet: the same statement may succeed later."""


class MigrationFailed(SagashopError):
    """The database could not be brought to the version this code needs. The text says why and what to do next."""


def engine(database_url: str, *, answer_within_s: float = 10) -> sa.Engine:
    """The engine of a service's own database. Connects at the first statement; makes the folder of an SQLite file.

    answer_within_s: a server (not SQLite) that takes longer over a statement counts as gone

    On SQLite a transaction begins at its first write, at once as a writer, and waits up to 5 s for another writer.
    What was read before the first write may have changed by then: guard the write, or use `writing`.

    Raises:
        NotReachable: DATABASE_URL is empty or not understood
    """
    try:
        url = make_url(database_url)
        url.get_dialect()
    except sa.exc.ArgumentError as wrong:
        raise NotReachable("DATABASE_URL is not a database URL; an example is sqlite:////var/lib/shop.db") from wrong
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    return mysql.engine(url, answer_within_s)


@contextmanager
def writing(db: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction no other `writing` can slip into, from its first read on. Commits at the end.

    An SQLite file keeps all other writers out, too. On MySQL those go on; read what they must not change
    `with_for_update`.
    """
    if db.dialect.name == "sqlite":
        with db.begin() as conn:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            yield conn
    else:
        with db.connect() as conn, mysql.turn(conn, "writing", mysql.LOCK_WAIT_S), conn.begin():
            yield conn


def migrate(db: sa.Engine, package: str) -> None:
    """Bring the database to the newest migration (sagashop.migrations) of `package`, such as `services.storefront`.

    Processes that start together take turns; the later ones find nothing left to do.

    Raises:
        MigrationFailed: another process holds the lock for over 30 s, or a migration failed (SQLite keeps none of it,
            MySQL the revisions before it)
    """
    from sagashop import migrations  # here, since Alembic is large and most processes have nothing to migrate

    migrations.migrate(db, package)


def check(db: sa.Engine) -> Callable[[], None]:
    """A readiness check: the database answers."""

    def answers() -> None:
        with db.connect() as conn:
            conn.execute(sa.text("SELECT 1"))

    return answers


def _sqlite(url: sa.URL) -> sa.Engine:
    pool: dict[str, Any] = {}
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        pool = {"pool_timeout": POOL_WAIT_S}
    db = sa.create_engine(url, connect_args={"isolation_level": "IMMEDIATE"}, **pool)
    sa.event.listen(db, "connect", _prepare_sqlite)
    return db


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")  # first: the change to WAL may have to wait
    _change_to_wal(cursor)
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _change_to_wal(cursor: Any) -> None:
    """Of two connections that change a new file at the same time SQLite refuses one at once, timeout or not: waiting
    for each other would never end. So the one that was refused comes again.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as refused:
            if refused.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
