"""Fixtures every test may use: one redis-server of each kind per test run, empty for each test; one whole stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.ports import free_settings
from deploy.local.stack import Stack
from sagashop.cli.shop import Shop
from tests.people import People
from tests.rabbit import RabbitServer
from tests.servers import RedisServer

QUICK = {
    "VISIBILITY_S": "1",
    "CARRIER_DELAY_S": "1",
    "CARRIER_CALLS": "100",
    "STOCK_TIMEOUT_S": "8",
    "PAYMENT_TIMEOUT_S": "8",
    "CAPTURE_TIMEOUT_S": "2",
    "SHIPMENT_TIMEOUT_S": "2",
    "RATE_LOGIN": "100r/s",
    "RATE_SIGNUP": "100r/s",
}
"""Shorter waits than a real stack has, so that tests of recovery do not take minutes, and wider limits."""


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


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ as deployed, with every service's user and queues. Tests use queues of names of their own."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture
def own_rabbit(tmp_path: Path) -> Iterator[Callable[..., RabbitServer]]:
    """Makes a broker that the test may stop and kill: `own_rabbit("{consumer_timeout, 2000}")`."""
    servers: list[RabbitServer] = []

    def make(settings: str = "") -> RabbitServer:
        servers.append(RabbitServer(tmp_path / f"rabbitmq-{len(servers)}", settings))
        return servers[-1].start()

    yield make
    for server in servers:
        server.end()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One whole stack for all end-to-end and browser tests, on free ports."""
    with Stack(tmp_path_factory.mktemp("stack"), free_settings() | QUICK) as running:
        yield running


@pytest.fixture(scope="session")
def people(stack: Stack) -> People:
    return People(stack.url, stack.env)


@pytest.fixture(scope="session")
def operator(people: People) -> Shop:
    return people.operator()


@pytest.fixture
def customer(people: People) -> Shop:
    """A new customer with the welcome credit on the account."""
    return people.customer()


@pytest.fixture
def guest(people: People) -> Shop:
    return people.guest()


def _emptied(server: RedisServer) -> str:
    with server.client() as client:
        client.flushall()
        client.script_flush()
    return server.url
