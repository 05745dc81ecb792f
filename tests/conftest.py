"""Fixtures every test may use. One redis-server of each kind per test run; each test gets it empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import RedisServer


@pytest.fixture(scope="session")
def ledger_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """redis-ledger as deployed, without the disk: it refuses writes when full and never evicts."""
    server = RedisServer(tmp_path_factory.mktemp("redis-ledger"), "--maxmemory-policy", "noeviction").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """redis-session as deployed, without the disk."""
    server = RedisServer(tmp_path_factory.mktemp("redis-session"), "--maxmemory-policy", "volatile-ttl").start()
    yield server
    server.stop()


@pytest.fixture
def redis_ledger(ledger_server: RedisServer) -> str:
    """URL of an empty redis-ledger."""
    return _emptied(ledger_server)


@pytest.fixture
def redis_session(session_server: RedisServer) -> str:
    """URL of an empty redis-session."""
    return _emptied(session_server)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Makes servers that the test may stop, freeze and kill: `own_redis(durable=True)`."""
    servers: list[RedisServer] = []

    def make(*options: str, durable: bool = False) -> RedisServer:
        servers.append(RedisServer(tmp_path / f"redis-{len(servers)}", *options, durable=durable))
        return servers[-1].start()

    yield make
    for server in servers:
        server.stop()


def _emptied(server: RedisServer) -> str:
    with server.client() as client:
        client.flushall()
        client.script_flush()
    return server.url
