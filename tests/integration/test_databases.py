"""The walls in SQL: every service logs in as itself on a real MariaDB and tries its own database and all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from deploy import databases
from deploy.__main__ import main
from deploy.local import dotenv
from sagashop import sql
from tests.mariadb import MariaDbServer

SERVICES_FOLDER = Path(__file__).parents[2] / "services"
AWKWARD = 'it\'s \\ "50%" @/:'

# The last one leaves the table as the first one found it.
DOORS = [
    *("SELECT * FROM {db}.things", "INSERT INTO {db}.things VALUES (2)", "UPDATE {db}.things SET n = 3"),
    *("CREATE TABLE {db}.more (n INT)", "ALTER TABLE {db}.more ADD COLUMN m INT", "CREATE INDEX by_m ON {db}.more (m)"),
    *("DROP TABLE {db}.more", "DELETE FROM {db}.things", "INSERT INTO {db}.things VALUES (1)"),
]

pytestmark = pytest.mark.feature("F33")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return dotenv.ensure(tmp_path_factory.mktemp("env") / ".env") | {"MYSQL_PASSWORD_PAYMENTS": AWKWARD}


@pytest.fixture(scope="module")
def walled(mariadb_server: MariaDbServer, env: dict[str, str]) -> Iterator[MariaDbServer]:
    """The statements were run, and run again, and each database has a table with a row."""
    for _ in range(2):
        mariadb_server.execute(*databases.statements(env))
    for service in databases.SERVICES:
        name = databases.database(service)
        mariadb_server.execute(f"CREATE TABLE {name}.things (n INT)", f"INSERT INTO {name}.things VALUES (1)")
    yield mariadb_server
    for service in databases.SERVICES:
        mariadb_server.execute(f"DROP DATABASE {databases.database(service)}", f"DROP USER '{service}'@'%'")


def refusal(conn: sa.Connection, statement: str) -> str:
    """What the server says against it; empty where it does it."""
    try:
        conn.exec_driver_sql(statement)
    except sa.exc.DBAPIError as error:
        return str(error.orig)
    return ""


@pytest.mark.parametrize("service", databases.SERVICES)
def test_a_service_does_what_it_must_in_its_own_database_and_nothing_in_any_other(
    walled: MariaDbServer, env: dict[str, str], service: str
) -> None:
    with sql.engine(databases.url(env, service, walled.address)).connect() as conn:
        assert conn.exec_driver_sql("SELECT CURRENT_USER()").scalar() == f"{service}@%"
        for owner in databases.SERVICES:
            told = [refusal(conn, door.format(db=databases.database(owner))) for door in DOORS]
            expected = "" if owner == service else "denied"
            assert all((expected in said) and bool(said) == bool(expected) for said in told), (owner, told)


@pytest.mark.parametrize("service", databases.SERVICES)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM mysql.global_priv",
        "CREATE DATABASE mine",
        "CREATE DATABASE sagashopXorders",
        "CREATE USER friend",
        "GRANT SELECT ON sagashop_{service}.* TO root@localhost",
        "SELECT '' INTO OUTFILE '/tmp/sagashop-must-not-be'",
        "SET GLOBAL max_connections = 1",
        "SHUTDOWN",
    ],
)
def test_a_service_is_no_administrator(
    walled: MariaDbServer, env: dict[str, str], service: str, statement: str
) -> None:
    with sql.engine(databases.url(env, service, walled.address)).connect() as conn:
        assert "denied" in refusal(conn, statement.format(service=service))


def test_nobody_comes_in_with_anothers_password_or_none(walled: MariaDbServer, env: dict[str, str]) -> None:
    swapped = env | {"MYSQL_PASSWORD_ORDERS": AWKWARD}
    for attempt in (databases.url(swapped, "orders", walled.address), walled.url("sagashop_orders", "orders")):
        with pytest.raises(sa.exc.OperationalError, match="denied"):
            sql.engine(attempt).connect()


def test_what_somebody_was_allowed_besides_is_taken_back(walled: MariaDbServer, env: dict[str, str]) -> None:
    walled.execute("GRANT SELECT ON sagashop_payments.* TO 'orders'@'%'", *databases.statements(env))
    with sql.engine(databases.url(env, "orders", walled.address)).connect() as conn:
        assert "denied" in refusal(conn, "SELECT * FROM sagashop_payments.things")


def test_the_command_prints_the_statements_of_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGASHOP_ENV", str(tmp_path / ".env"))
    printed = CliRunner().invoke(main, ["databases"]).output
    own = dotenv.ensure(tmp_path / ".env")
    assert printed == "".join(f"{statement};\n" for statement in databases.statements(own))


def test_the_table_names_the_services_that_use_sql(env: dict[str, str]) -> None:
    using = {file.parent.name for file in SERVICES_FOLDER.glob("*/*.py") if "database_url" in file.read_text()}
    assert set(databases.SERVICES) == using
    assert len({env[databases.password_variable(service)] for service in databases.SERVICES}) == len(using)
