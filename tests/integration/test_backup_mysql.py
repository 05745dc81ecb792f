"""Databases on MySQL or MariaDB are saved with the rights of the services, while they are written, and put back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from deploy import databases
from deploy.backup.local import LocalSite
from deploy.local.stack import Stack
from tests.mariadb import MariaDbServer

pytestmark = pytest.mark.feature("F21")


@pytest.fixture
def site(mariadb_server: MariaDbServer, tmp_path: Path) -> LocalSite:
    url = f"mysql+pymysql://{{service}}:{{password}}@{mariadb_server.address}/sagashop_{{service}}"
    site = LocalSite(Stack(tmp_path / "home", {"DATABASE_URL": url}))
    mariadb_server.execute(*databases.statements(site.env))
    return site


def test_a_dump_is_of_one_instant_and_replaces_everything(
    mariadb_server: MariaDbServer, site: LocalSite, tmp_path: Path
) -> None:
    store, dump = site.database("orders"), tmp_path / "orders.sql"
    engine = sa.create_engine(mariadb_server.url("sagashop_orders", "root"))
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(20), data BLOB)")
        conn.exec_driver_sql("CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id))")
        conn.exec_driver_sql("INSERT INTO parent VALUES (0, 'Café 🛒', X'00FF')")
    stopping = threading.Event()

    def write() -> None:
        for n in range(1, 100_000):
            if stopping.is_set():
                return
            with engine.begin() as conn:
                conn.exec_driver_sql(f"INSERT INTO parent VALUES ({n}, 'x', NULL)")
                conn.exec_driver_sql(f"INSERT INTO child VALUES ({n})")

    writer = threading.Thread(target=write)
    writer.start()
    store.save(dump)
    stopping.set()
    writer.join()
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE newer (id INT, FOREIGN KEY (id) REFERENCES parent (id))")
        conn.exec_driver_sql("INSERT INTO parent VALUES (-1, 'since', NULL)")

    def rows(query: str) -> list[tuple[object, ...]]:
        with engine.connect() as conn:
            return [tuple(row) for row in conn.exec_driver_sql(query)]

    store.set_aside()
    store.load(dump)
    assert {name for (name,) in rows("SHOW TABLES")} == {"parent", "child"}
    assert rows("SELECT * FROM parent WHERE id <= 0") == [(0, "Café 🛒", b"\x00\xff")]
    assert rows("SELECT COUNT(*) FROM parent")[0][0] == int(str(rows("SELECT COUNT(*) FROM child")[0][0])) + 1

    store.put_back()
    assert rows("SELECT name FROM parent WHERE id = -1") == [("since",)]
    assert {name for (name,) in rows("SHOW TABLES")} == {"parent", "child", "newer"}
    engine.dispose()
