"""The whole shop on MariaDB, each service as a user of its own, while the database stops, dies and hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import databases
from deploy.local.ports import free_settings
from deploy.local.stack import Stack
from tests.chaos.load import Load
from tests.chaos.shop import ShopUnderTest, insist
from tests.conftest import QUICK
from tests.mariadb import MariaDbServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MariaDbServer]:
    server = MariaDbServer(tmp_path / "mariadb", "--max-connections=151")
    yield server.start()
    server.close()


@pytest.fixture
def shop(server: MariaDbServer, tmp_path: Path) -> Iterator[ShopUnderTest]:
    url = f"mysql+pymysql://{{service}}:{{password}}@{server.address}/sagashop_{{service}}"
    stack = Stack(tmp_path / "stack", free_settings() | QUICK | {"DATABASE_URL": url})
    server.execute(*databases.statements(stack.env))
    with stack:
        yield ShopUnderTest(stack)


@pytest.mark.feature("F51")
def test_orders_flow_on_while_mysql_is_away_and_the_books_are_complete_afterwards(
    shop: ShopUnderTest, server: MariaDbServer
) -> None:
    load = Load(shop, orders=300, per_s=20, seed=12)
    with load.running():
        for end, begin in ((server.stop, server.start), (server.kill, server.start), (server.freeze, server.thaw)):
            time.sleep(1.5)
            end()
            time.sleep(2)
            begin()
    shop.assert_nothing_lost(load.accepted)
    assert insist(lambda: shop.operator.get("/api/products?limit=1"))["items"]
