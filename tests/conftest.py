"""Fixtures every test may use: one redis-server of each kind per test run, empty for each test; one whole stack.

`--stack compose` makes that stack one of containers: `make test-compose`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from deploy.compose import docker
from deploy.compose.stack import ComposeStack
from deploy.deployment import Deployment
from deploy.local.ports import find_free, free_settings
from deploy.local.stack import Stack
from deploy.walls_rabbit import PARTS
from sagashop.cli.shop import Shop
from sagashop.messages import new_id
from tests.mariadb import MariaDbServer, SqlServer
from tests.people import People
from tests.rabbit import RabbitServer
from tests.servers import RedisServer

COMPOSE = Path(__file__).parent / "compose"
QUICK = {
    "VISIBILITY_S": "1",
    "CARRIER_DELAY_S": "1",
    "CARRIER_CALLS": "100",
    "PARCEL_TIMEOUT_S": "20",
    "STOCK_TIMEOUT_S": "8",
    "PAYMENT_TIMEOUT_S": "8",
    "CAPTURE_TIMEOUT_S": "2",
    "SHIPMENT_TIMEOUT_S": "2",
    "RATE_LOGIN": "100r/s",
    "RATE_SIGNUP": "100r/s",
    "BUS": os.environ.get("BUS") or "redis",
}
"""Shorter waits than a real stack has, so that tests of recovery do not take minutes, and wider limits. The whole stack
runs on the bus that the environment names: `make test-rabbit-bus`."""


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
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDbServer]:
    """The MariaDB that tests share, each with a database of its own."""
    server = MariaDbServer(tmp_path_factory.mktemp("mariadb"))
    yield server.start()
    server.close()


@pytest.fixture(scope="session")
def compose_server(stack: Deployment) -> SqlServer:
    """The stack's own, reached from this machine as its Redis is: at the container's address."""
    assert isinstance(stack, ComposeStack)
    return SqlServer(f"{stack.container('mysql').address}:3306", stack.env["MYSQL_ROOT_PASSWORD"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked `sql` runs once on each kind of database; the name of the kind is part of the test's.

    With `--stack compose` it runs on the SQL server of that stack: MySQL, or the stand-in.
    """
    if metafunc.definition.get_closest_marker("sql"):
        kinds = ["compose"] if metafunc.config.getoption("--stack") == "compose" else ["sqlite", "mariadb"]
        metafunc.parametrize("database_url", kinds, indirect=True, scope="function")


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database: of SQLite, and in tests marked `sql` of a server too."""
    kind = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/deep/test.db"
        return
    server: SqlServer = request.getfixturevalue(f"{kind}_server")
    url = server.new_database()
    yield url
    server.execute(f"DROP DATABASE {make_url(url).database}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stack",
        choices=["local", "compose"],
        default="local",
        help="What the whole stack is made of (default: local).",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Left out without containers: what is about them. Skipped with them: what is about processes of this machine."""
    with_containers = config.getoption("--stack") == "compose"
    left_out = [item for item in items if COMPOSE in item.path.parents and not with_containers]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    for item in items:
        if with_containers and (mark := item.get_closest_marker("local")):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A RabbitMQ as deployed, with every service's user and queues. Tests use queues of names of their own."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture
def emptied_rabbit(rabbit_server: RabbitServer) -> RabbitServer:
    """The shared one, with nothing in the services' queues."""
    rabbit_server.purge(queue.name for part in PARTS.values() for queue in part.queues)
    return rabbit_server


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
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One whole stack for all end-to-end and browser tests, on free ports."""
    home = tmp_path_factory.mktemp("stack")
    if request.config.getoption("--stack") == "compose":
        with containers(home) as compose:
            yield compose
    else:
        with Stack(home, free_settings() | QUICK) as local:
            yield local


@contextmanager
def containers(home: Path) -> Iterator[ComposeStack]:
    """A project of Compose with a name and ports of its own; nothing of it is left afterwards."""
    ports = {name: str(find_free(name)) for name in ("FRONT_PORT", "FRONT_TLS_PORT")}
    compose = ComposeStack(f"sagashop-test-{new_id()[:8]}", ports | QUICK, env_file=home / ".env")
    try:
        compose.build()
        compose.up()
        yield compose
    finally:
        compose.destroy()
        docker.run("image", "rm", "--force", *(f"{compose.name}/{image}:local" for image in ("services", "redis")))


@pytest.fixture(scope="session")
def people(stack: Deployment) -> People:
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
