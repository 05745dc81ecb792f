"""Stacks that may be broken. One is shared, since most faults leave nothing behind; the audit says so each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local.ports import free_settings
from deploy.local.stack import Stack
from tests.chaos.shop import LocalShop, ShopUnderTest
from tests.conftest import QUICK

SLOW = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is slow, and may take long on a busy machine."""
    for item in items:
        if SLOW in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalShop]:
    """A whole stack for the faults that it must survive without a trace."""
    with Stack(tmp_path_factory.mktemp("chaos"), free_settings() | QUICK) as stack:
        yield LocalShop(stack)


@pytest.fixture
def ledger(shop: ShopUnderTest) -> Iterator[redis.Redis]:
    """redis-ledger of the shared stack, as its administrator."""
    with shop.ledger() as client:
        yield client
