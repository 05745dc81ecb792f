"""Backups of a stack with real servers and stand-ins for the services: what is kept, what a failure leaves behind."""

from __future__ import annotations

import json
import resource
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pika  # type: ignore[import-untyped]
import pytest
import redis
from click.testing import CliRunner

from deploy.backup.__main__ import main
from deploy.backup.local import LocalSite
from deploy.backup.order import JOURNALS, SOURCES
from deploy.backup.redis_store import HOLD, RedisStore, nothing_trimmed
from deploy.backup.restoring import examine, restore
from deploy.backup.saving import save
from deploy.local.errors import StackError
from deploy.local.ports import free_settings
from deploy.local.processes import Process
from deploy.local.stack import Stack
from sagashop import keys
from sagashop.streams.commit import Scripts
from sagashop.streams.retention import trim
from tests.integration.test_local_stack import SETTINGS, stand_ins
from tests.servers import RedisServer, eventually

pytestmark = pytest.mark.feature("F21")
QUEUE = "phone.1"


def few(env: Mapping[str, str]) -> list[Process]:
    """All servers, and one stand-in for each service with a database."""
    wanted = {"storefront-web", "orders-web-1", "payments-web", "fulfillment-web"}
    return [process for process in stand_ins(env) if process.service is None or process.name in wanted]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("a home with a space")
    with Stack(home, SETTINGS | free_settings(), processes=few) as running:
        for service in (*JOURNALS, *SOURCES):
            with database(running, service) as sql:
                sql.execute("PRAGMA journal_mode = WAL")
                sql.execute("CREATE TABLE things (name TEXT)")
        yield running


@pytest.fixture
def site(stack: Stack) -> LocalSite:
    return LocalSite(stack)


@pytest.fixture
def ledger(stack: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.addresses["REDIS_LEDGER_URL"], decode_responses=True) as client:
        yield client


@contextmanager
def database(stack: Stack, service: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(stack.layout.data / f"{service}.db", isolation_level=None)) as sql:
        yield sql


def things(stack: Stack) -> list[str]:
    with database(stack, "orders") as sql:
        return [name for (name,) in sql.execute("SELECT name FROM things")]


def rabbit(stack: Stack) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(stack.addresses["RABBITMQ_URL"]))


def quiet(_: str) -> None: ...


@pytest.mark.slow
def test_what_is_put_back_is_what_was_saved_and_nothing_of_what_came_since(
    stack: Stack, site: LocalSite, ledger: redis.Redis, tmp_path: Path
) -> None:
    with rabbit(stack) as connection, database(stack, "orders") as sql:
        connection.channel().queue_declare(QUEUE, durable=True)
        ledger.set("ours", "before")
        sql.execute("INSERT INTO things VALUES ('before')")
        folder = save(site, tmp_path, quiet)
        ledger.mset({"ours": "since", "new": "since"})
        sql.execute("INSERT INTO things VALUES ('since')")
        connection.channel().queue_declare("since", durable=True)

    restore(site, folder, examine(site, folder), quiet)

    assert (ledger.get("ours"), ledger.get("new"), things(stack)) == ("before", None, ["before"])
    with rabbit(stack) as connection:
        connection.channel().queue_declare(QUEUE, passive=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            connection.channel().queue_declare("since", passive=True)
    assert list(stack.layout.home.rglob(".replaced*")) == []
    ledger.set("after", "1")
    stack.restart("redis-ledger")
    assert ledger.get("after") == "1", "redis-ledger goes on with a file of its own"


def test_a_backup_is_for_its_owner_only_and_holds_no_secret_of_the_env_file(
    stack: Stack, site: LocalSite, tmp_path: Path
) -> None:
    folder = save(site, tmp_path / "backups", quiet)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, tmp_path / "backups")} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {
        *(f"{service}.db" for service in (*JOURNALS, *SOURCES)),
        *("redis-ledger.rdb", "redis-session.rdb", "rabbitmq.json", "manifest.json"),
    }
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert [name for name, value in stack.env.items() if "PASSWORD" in name and value.encode() in kept] == []
    assert "users" not in json.loads((folder / "rabbitmq.json").read_text())


def test_nothing_is_trimmed_while_a_backup_is_taken_and_until_it_is_restored(
    site: LocalSite, ledger: redis.Redis, tmp_path: Path
) -> None:
    """A journal saved before redis-ledger needs what came in between, however old that is when it is put back."""
    stream = keys.stream("orders.events")
    ledger.delete(stream)
    for n in range(1, 1_001):
        ledger.xadd(stream, {"n": str(n)}, id=f"{n}-1")
    ledger.xgroup_create(stream, "orders-journal", id="$")
    store, dump = RedisStore(site, "redis-ledger"), tmp_path / "server" / "appendonlydir" / "dump"
    dump.parent.mkdir(parents=True)

    with nothing_trimmed(store, ("orders",)):
        assert trim(Scripts(ledger), "orders.events", keep_s=0) == 0
        store.save(dump)
    assert trim(Scripts(ledger), "orders.events", keep_s=0) >= 900
    assert [group["name"] for group in ledger.xinfo_groups(stream)] == ["orders-journal"]

    dump.rename(dump.with_name("appendonly.aof.1.base.rdb"))
    dump.with_name("appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    server = RedisServer(tmp_path / "server", durable=True).start()
    try:
        with server.client() as restored:
            assert trim(Scripts(restored), "orders.events", keep_s=0) == 0
            assert restored.xlen(stream) == 1_000
            assert HOLD in {group["name"] for group in restored.xinfo_groups(stream)}
    finally:
        server.stop()


def test_a_backup_that_was_killed_does_not_hold_the_next_one_up(
    site: LocalSite, ledger: redis.Redis, tmp_path: Path
) -> None:
    ledger.xgroup_create(keys.stream("orders.events"), HOLD, id="0", mkstream=True)
    (tmp_path / ".sagashop-20260101T000000Z.partial").mkdir()
    made = save(site, tmp_path, quiet)
    assert [path.name for path in tmp_path.iterdir()] == [made.name]
    assert HOLD not in {group["name"] for group in ledger.xinfo_groups(keys.stream("orders.events"))}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, this process and its children can write no file beyond this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [4_000, 50_000])
def test_a_full_disk_leaves_no_half_backup_and_the_stack_as_it_was(
    stack: Stack, site: LocalSite, ledger: redis.Redis, tmp_path: Path, size: int
) -> None:
    ledger.set("large", "x" * 100_000)
    with files_of_at_most(size), pytest.raises(StackError):
        save(site, tmp_path, quiet)
    assert list(tmp_path.iterdir()) == []
    assert HOLD not in {group["name"] for group in ledger.xinfo_groups(keys.stream("orders.events"))}
    assert [row["name"] for row in stack.ps() if not row["ready"]] == []


@pytest.mark.slow
def test_a_restore_that_fails_at_its_end_returns_to_the_data_from_before(
    stack: Stack, site: LocalSite, ledger: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(site, tmp_path, quiet)
    with database(stack, "orders") as sql:
        sql.execute("INSERT INTO things VALUES ('valuable')")
    ledger.set("valuable", "1")

    def taken() -> None:
        raise StackError("a port is taken.")

    monkeypatch.setattr(site, "start", taken)
    with pytest.raises(StackError, match="not restored: a port is taken") as told:
        restore(site, folder, examine(site, folder), quiet)
    assert "has the data from before" in str(told.value)
    stack.up()
    assert (ledger.get("valuable"), things(stack)[-1]) == ("1", "valuable")


def test_a_broken_backup_touches_nothing(stack: Stack, site: LocalSite, tmp_path: Path) -> None:
    folder = save(site, tmp_path, quiet)
    with (folder / "redis-ledger.rdb").open("r+b") as file:
        file.truncate(100)
    before = {row["name"]: row["pid"] for row in stack.ps()}
    with pytest.raises(StackError, match="nothing was touched"):
        examine(site, folder)
    assert {row["name"]: row["pid"] for row in stack.ps()} == before


def test_restoring_asks_first(stack: Stack, site: LocalSite, tmp_path: Path) -> None:
    folder = save(site, tmp_path, quiet)
    env = {"SAGASHOP_HOME": str(stack.layout.home), "SAGASHOP_ENV": str(stack.env_file), "MODE": "local"}
    answer = CliRunner().invoke(main, ["restore", str(folder)], input="n\n", env=env | {"YES": ""})
    assert answer.exit_code == 1
    assert "What came since is lost" in answer.output
    assert eventually(lambda: all(row["ready"] for row in stack.ps()))
