"""MySQL and MariaDB, set up so that code and tests find on them what SQLite does anyway.

Text has no limit and is compared letter by letter, a value that does not fit is refused instead of cut, nobody waits
for a lock or an answer without end, and a table that is not there yet is the server's trouble, not the program's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

POOL_WAIT_S = 2
LOCK_WAIT_S = 5
TABLE_LOCK_WAIT_S = 30
NO_SUCH_TABLE = 1146

# Each new connection begins with this: strict whatever the server's default is, and with bounded waits for other
# transactions, of which the server's own are 50 s for a row and a day or a year for a change of a table.
SESSION = (
    f"SET SESSION sql_mode = 'TRADITIONAL', innodb_lock_wait_timeout = {LOCK_WAIT_S},"
    f" lock_wait_timeout = {TABLE_LOCK_WAIT_S}"
)


def engine(url: sa.URL, answer_within_s: float) -> sa.Engine:
    """An engine whose statements each read what is committed by then. Connects at the first one.

    pool_pre_ping: a connection that a restart of the server has ended is replaced before it is used
    """
    db = sa.create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=POOL_WAIT_S,
        pool_recycle=1_800,
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": 2,
            "read_timeout": answer_within_s,
            "write_timeout": answer_within_s,
            "init_command": SESSION,
        },
    )
    sa.event.listen(db, "handle_error", _missing_table)
    return db


@contextlib.contextmanager
def turn(conn: sa.Connection, what: str, wait_s: float) -> Iterator[None]:
    """Have a lock of the database by name while the block runs, over any number of transactions.

    The server frees it when the connection ends, however that comes about.

    Raises: sqlalchemy.exc.TimeoutError when somebody else has it for longer than `wait_s`.
    """
    name = f"{what}.{conn.engine.url.database}"[:64]  # such locks are of the whole server, and no name is longer
    if conn.scalar(sa.select(sa.func.get_lock(name, wait_s))) != 1:
        raise sa.exc.TimeoutError(f"another process holds the lock {name} for over {wait_s:g} s")
    conn.rollback()  # the look at the lock began a transaction
    try:
        yield
    finally:
        with contextlib.suppress(sa.exc.SQLAlchemyError):  # the connection is gone, and the lock with it
            conn.scalar(sa.select(sa.func.release_lock(name)))
            conn.rollback()


@compiles(CreateTable, "mysql", "mariadb")
def _exact(create: CreateTable, compiler: Any, **options: Any) -> str:
    """Every table. The servers' own choice would take `É` for `e`, and the end of a text for blanks."""
    collation = "utf8mb4_nopad_bin" if compiler.dialect.is_mariadb else "utf8mb4_0900_bin"
    statement: str = compiler.visit_create_table(create, **options)
    return f"{statement.rstrip()} CHARACTER SET utf8mb4 COLLATE {collation}"


@compiles(sa.Text, "mysql", "mariadb")
def _unlimited(*_: Any, **__: Any) -> str:
    """Their own TEXT ends at 64 KiB."""
    return "LONGTEXT"


def _missing_table(context: sa.ExceptionContext) -> Exception | None:
    """As on SQLite: what is not there yet will be, once the process that makes it has started."""
    error = context.original_exception
    if error.args and error.args[0] == NO_SUCH_TABLE:
        return sa.exc.OperationalError(context.statement, None, error)
    return None
