"""Migrations of SQL databases.

A service keeps its migrations in `services/<name>/migrations/*.py`, plain Alembic revisions, and runs them at start.
On MySQL each change of a table is final at once, so a revision that dies half way is run again from its beginning: let
it look first whether a step is done already (`if_not_exists=True`, or `sa.inspect(op.get_bind()).has_index(...)`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sagashop import mysql
from sagashop.lean import without
from sagashop.sql import BUSY_TIMEOUT_MS, MigrationFailed

with without("pygments"):  # Alembic's templates colour their errors with it, and we use none
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

WAIT_S = 30
STEP_MAX_S = 3_600


def migrate(db: sa.Engine, package: str) -> None:
    """See `sagashop.sql.migrate`."""
    service = package.rsplit(".", 1)[-1]
    folder = _folder(package)
    script = ScriptDirectory(str(folder), version_locations=[str(folder)])
    try:
        with _alone(db, service) as conn:
            _upgrade(conn, script, f"schema_{service}")
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as why:
        raise MigrationFailed(
            f"cannot migrate the database of {service} ({getattr(why, 'orig', why)}).\n"
            f"  Check DATABASE_URL and that no other process holds the database, then start {service} again."
        ) from why


def _upgrade(conn: sa.Connection, script: ScriptDirectory, version_table: str) -> None:
    def steps(revision: Any, _: Any) -> Any:
        return script._upgrade_revs("head", revision)  # the way of alembic.command.upgrade

    context = EnvironmentContext(Config(), script, fn=steps, destination_rev="head")
    context.configure(connection=conn, version_table=version_table, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


def _alone(db: sa.Engine, service: str) -> AbstractContextManager[sa.Connection]:
    return _alone_in_file(db) if db.dialect.name == "sqlite" else _alone_on_server(db, service)


@contextmanager
def _alone_in_file(db: sa.Engine) -> Iterator[sa.Connection]:
    """SQLite's own write lock, held over the whole migration."""
    with db.begin() as conn:
        conn.exec_driver_sql(f"PRAGMA busy_timeout = {WAIT_S * 1000}")
        try:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            yield conn
        finally:
            conn.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


@contextmanager
def _alone_on_server(db: sa.Engine, service: str) -> Iterator[sa.Connection]:
    """A lock by name, over all the transactions of the migration. A change of a large table may take its time."""
    patient = mysql.engine(db.url, STEP_MAX_S)
    try:
        with patient.connect() as conn, mysql.turn(conn, f"migrate.{service}", WAIT_S):
            yield conn
            conn.commit()
    finally:
        patient.dispose()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    folder = Path(places[0]) / "migrations" if places else None
    if folder is None or not folder.is_dir():
        raise MigrationFailed(f"{package} has no folder `migrations`.")
    return folder
