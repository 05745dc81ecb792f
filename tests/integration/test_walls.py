"""The walls on Redis: every service logs in as itself and tries every door, its own and those of all others.

Which doors should be open is told by the table (`WALLS`), never by the rules made from it: a hole is a failing cell.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts import orders as orders_contract
from deploy.local import dotenv, servers
from deploy.local.errors import StackError
from deploy.local.ports import free_settings
from deploy.local.processes import Process, table
from deploy.local.stack import Stack
from deploy.walls import ADMIN, SERVERS, WALLS, Server, aclfile, password_variable, servers_of
from sagashop import keys
from sagashop.jobs.holder import Holder
from sagashop.jobs.job import Hopeless, Policy, Taken
from sagashop.jobs.queue import JobQueue
from sagashop.jobs.worker import JobWorker
from sagashop.messages import Catalogue, Message
from sagashop.sessions import Sessions
from sagashop.streams.commit import Keys, Scripts, compile_effects, packed
from sagashop.tasks.lease import Lease, Leases
from sagashop.tasks.reminder import Reminder
from sagashop.tasks.task import list_of, opened
from services.analytics import handlers as analytics
from services.fulfillment import handlers as fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.notifications import handlers as notifications
from services.orders import handlers as orders
from services.orders.messages import MakeInvoice
from services.orders.saga import checkout
from services.payments import handlers as payments
from services.payments.settings import PaymentsSettings
from services.storefront import handlers as storefront
from tests.servers import RedisServer, eventually

ON_LEDGER = [service for service, wall in WALLS.items() if wall.ledger]
USERS = [(server, service) for service in WALLS for server in servers_of(service)]
Words = tuple[str, ...]
IN_SCRIPT = ("executing the script can't", "ACL failure in script", "NOPERM")
"""What Redis says of a command that a script may not give: 7.0, later ones."""
ONCE = Retry(NoBackoff(), 0)


class Cell(NamedTuple):
    """One door: a command, whether this service may give it, and whether it gives it inside a script."""

    command: Words
    is_open: bool
    in_script: bool = False

    def __str__(self) -> str:
        return f"{'script: ' if self.in_script else ''}{' '.join(self.command)} should be {self.is_open}"


# The doors. `{k}` is the key; a group and a consumer called g and c stand for whatever a command names.
ROW = ["HGETALL {k}", "HGET {k} f", "HMGET {k} f", "HSET {k} f 1", "HINCRBY {k} n 1", "EXPIRE {k} 99",
       "PERSIST {k}", "DEL {k}"]  # fmt: skip
TIMERS = ["ZADD {k} 1 m", "ZREM {k} m", "ZRANGE {k} 0 -1", "ZCARD {k}"]
SWITCH = ["SET {k} 1", "GET {k}", "EXISTS {k}", "DEL {k}"]
LISTEN = ["XREADGROUP GROUP g c COUNT 1 STREAMS {k} >", "XRANGE {k} - + COUNT 1", "XPENDING {k} g", "XACK {k} g 1-1",
          "XCLAIM {k} g c 0 1-1", "XINFO GROUPS {k}", "XGROUP CREATE {k} g 0 MKSTREAM"]  # fmt: skip
JOBS = ["HDEL {k} f", "RPUSH {k} v", "LPUSH {k} v", "LMOVE {k} {k} LEFT LEFT", "RPOP {k}", "LLEN {k}",
        "LRANGE {k} 0 1", "LREM {k} 1 v", "LTRIM {k} 0 1", "LINDEX {k} 0"]  # fmt: skip
WAIT = "BLMOVE {k} {k} LEFT LEFT 0.001"  # no script may wait
APPEND = ["XADD {k} * f v"]
KEEP = ["XREAD COUNT 1 STREAMS {k} 0", "XREVRANGE {k} + - COUNT 1", "XLEN {k}", "XDEL {k} 1-1",
        "XTRIM {k} MINID 1-1", "XGROUP SETID {k} g 0", "XINFO STREAM {k}", "XINFO CONSUMERS {k} g",
        "MEMORY USAGE {k}"]  # fmt: skip
NEVER = ["XGROUP DESTROY {k} none", "XGROUP DELCONSUMER {k} g none", "XSETID {k} 9-9", "RENAME {k} {k}2", "TYPE {k}",
         "COPY {k} {k}2", "DUMP {k}", "RESTORE {k} 0 x", "SORT {k}", "GETDEL {k}", "OBJECT ENCODING {k}", "TOUCH {k}",
         "XAUTOCLAIM {k} g c 0 0", "MOVE {k} 1", "LPUSH {k} v", "APPEND {k} v", "HDEL {k} none"]  # fmt: skip
SESSION_LOOK = ["HGET {k} user_id", "HGETALL {k}", "PEXPIREAT {k} 99999999999999"]
SESSION_KEEP = ["HSET {k} role operator", "RENAME {k} {k}", "DEL {k}", "ZADD {k} 1 m", "ZREM {k} m",
                "ZRANGE {k} 0 -1", "ZREMRANGEBYSCORE {k} 0 1"]  # fmt: skip
CART = ["HGETALL {k}", "HMGET {k} f", "HKEYS {k}", "HLEN {k}", "HSET {k} f 1", "HSETNX {k} f 1", "HDEL {k} f",
        "HINCRBY {k} n 1", "EXPIRE {k} 99", "DEL {k}"]  # fmt: skip
SERVER_WIDE = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "SELECT 1", "SWAPDB 0 1", "CONFIG GET *",
    "CONFIG SET maxmemory 1", "CONFIG REWRITE", "ACL LIST", "ACL GETUSER admin", "ACL SETUSER orders +@all",
    "ACL LOAD", "ACL WHOAMI", "SHUTDOWN NOSAVE", "SAVE", "BGSAVE", "BGREWRITEAOF",
    "REPLICAOF NO ONE", "MONITOR", "SLOWLOG GET", "LATENCY RESET", "CLIENT LIST", "CLIENT KILL ID 0",
    "CLIENT TRACKING on BCAST", "CLIENT PAUSE 1", "CLIENT SETNAME x", "SCRIPT FLUSH", "SCRIPT KILL", "SCRIPT EXISTS x",
    "EVAL return 0", "FUNCTION FLUSH", "FUNCTION LOAD x", "FCALL x 0", "MODULE LIST", "CLUSTER INFO", "COMMAND COUNT",
    "PUBLISH room hello", "SUBSCRIBE room", "PSUBSCRIBE *", "SPUBLISH room hello", "MULTI", "WAIT 0 0", "LASTSAVE",
    "MEMORY PURGE", "MEMORY STATS", "ROLE", "MIGRATE h 1 k 0 1", "OBJECT HELP",
]  # fmt: skip


def doors(commands: list[str], key: str, *, is_open: bool) -> Iterator[Cell]:
    """The doors on one key, each tried by itself and from inside a script that does not declare its key."""
    for command, in_script in product(commands, (False, True)):
        yield Cell(tuple(word.format(k=key) for word in command.split(" ")), is_open, in_script)


def ledger_cells(service: str) -> Iterator[Cell]:
    wall = WALLS[service]
    for owner in [*ON_LEDGER, "someone-else"]:
        mine = owner == service
        yield from doors(ROW, keys.own(owner, "row", "1"), is_open=mine)
        yield from doors(TIMERS, keys.deadlines(owner), is_open=mine)
        yield from doors(SWITCH, keys.paused(owner), is_open=mine)
        waiting, works = keys.jobs(owner, "waiting", "high"), mine and wall.jobs
        yield from doors(JOBS[:-2], waiting, is_open=works)
        yield from doors(JOBS[-2:], waiting, is_open=False)
        yield Cell(tuple(WAIT.format(k=waiting).split(" ")), works)
        yield from doors(JOBS, keys.own(owner, "row", "1"), is_open=False)
        for purpose in ("events", "commands", "timers", "replay", "dead", "behaviour"):
            channel = f"{owner}.{purpose}"
            stream = keys.stream(channel)
            yield from doors(LISTEN, stream, is_open=mine or channel in wall.hears)
            yield from doors(APPEND, stream, is_open=mine or channel in wall.tells)
            yield from doors(KEEP, stream, is_open=mine)
            yield from doors(NEVER, stream, is_open=False)


def session_cells(service: str) -> Iterator[Cell]:
    wall = WALLS[service]
    keeps = wall.sessions == "keeps"
    token, everyone = keys.own("sessions", "token", "t"), keys.own("sessions", "user", "u")
    yield from doors(SESSION_LOOK, token, is_open=keeps or wall.sessions == "looks up")
    yield from doors(SESSION_LOOK, everyone, is_open=keeps)
    yield from doors(SESSION_KEEP, token, is_open=keeps)
    yield from doors(SESSION_KEEP, everyone, is_open=keeps)
    for owner in WALLS:
        yield from doors(CART, keys.own(owner, "cart", "1"), is_open=wall.carts and owner == service)
    yield from doors(NEVER[3:-1], token, is_open=False) if not keeps else ()


class Walled:
    """Both servers behind the walls, and log-ins to them."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.env = {**env, "PORT_BASE": "0"}
        self.running: dict[Server, RedisServer] = {}
        for name in SERVERS:
            file = folder / f"{name}.acl"
            dotenv.write_private(file, aclfile(name, env))
            server = RedisServer(folder / name, "--aclfile", str(file))
            server.url = self._url(name, ADMIN, server.port)
            self.running[name] = server.start()

    def _url(self, name: Server, user: str, port: int) -> str:
        return servers.redis_url({**self.env, "PORT_BASE": str(port - SERVERS[name])}, name, user)

    def login(self, name: Server, user: str) -> redis.Redis:
        url = self._url(name, user, self.running[name].port)
        return redis.Redis.from_url(url, decode_responses=True, protocol=2, driver_info=None, retry=ONCE)


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return dotenv.ensure(tmp_path_factory.mktemp("env") / ".env")


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[Walled]:
    both = Walled(tmp_path_factory.mktemp("walled"), env)
    yield both
    for server in both.running.values():
        server.stop()


def refusal(client: redis.Redis, cell: Cell, script: str) -> str | None:
    """What the wall says, or None where the command passed it, with whatever outcome."""
    words: list[Any] = ["EVALSHA", script, "0", *cell.command] if cell.in_script else list(cell.command)
    try:
        client.execute_command(*words)  # type: ignore[no-untyped-call]
    except redis.exceptions.NoPermissionError as error:
        return str(error)
    except redis.ResponseError as error:
        return str(error) if any(words in str(error) for words in IN_SCRIPT) else None
    return None


@pytest.mark.feature("F33")
@pytest.mark.parametrize(("server", "service"), USERS)
def test_every_door_is_as_the_table_says(walled: Walled, server: Server, service: str) -> None:
    with walled.login(server, ADMIN) as admin:
        admin.flushall()
        script = admin.script_load("return redis.call(unpack(ARGV))")
    cells = list(ledger_cells(service) if server == "LEDGER" else session_cells(service))
    with walled.login(server, service) as client:
        wrong = [str(cell) for cell in cells if (refusal(client, cell, script) is None) != cell.is_open]
    assert wrong == []


@pytest.mark.feature("F33")
@pytest.mark.parametrize(("server", "service"), USERS)
def test_no_service_may_do_what_concerns_the_whole_server(walled: Walled, server: Server, service: str) -> None:
    with walled.login(server, service) as client:
        passed = [line for line in SERVER_WIDE if refusal(client, Cell(tuple(line.split(" ")), False), "") is None]
        assert passed == []
        assert client.ping()


@pytest.mark.feature("F33")
@pytest.mark.parametrize("service", ON_LEDGER)
def test_a_script_may_name_no_key_beyond_the_wall(walled: Walled, service: str) -> None:
    """The keys a script declares are checked, even if it does nothing with them."""
    wall = WALLS[service]
    with walled.login("LEDGER", service) as client:
        nothing = client.script_load("return 1")
        for owner, purpose in product(ON_LEDGER, ("row", "events", "commands", "dead")):
            is_open = owner == service or f"{owner}.{purpose}" in {*wall.hears, *wall.tells}
            command = ("EVALSHA", nothing, "2", keys.own(service, "row"), keys.own(owner, purpose))
            assert (refusal(client, Cell(command, is_open), "") is None) == is_open, command


@pytest.mark.feature("F33")
@pytest.mark.parametrize("service", [s for s, wall in WALLS.items() if wall.sessions == "looks up"])
def test_who_looks_sessions_up_prolongs_them_and_can_neither_make_nor_end_one(walled: Walled, service: str) -> None:
    with walled.login("SESSION", "storefront") as keeper, walled.login("SESSION", service) as reader:
        token = Sessions(keeper).create("u1", "Demo Customer", "customer")
        seen = Sessions(reader)
        assert (found := seen.get(token)) is not None
        assert (found.user_id, found.role) == ("u1", "customer")
        for attempt in (
            lambda: seen.create("u1", "Demo Operator", "operator"),
            lambda: seen.rotate(token),
            lambda: seen.logout(token),
            lambda: seen.logout_everywhere("u1"),
        ):
            with pytest.raises(redis.ResponseError, match=r"permission|can't"):
                attempt()
        assert seen.get(token) is not None
        rotated = Sessions(keeper).rotate(token)
        assert rotated is not None
        Sessions(keeper).logout(rotated)
        assert seen.get(rotated) is None


@pytest.mark.parametrize("server", list(SERVERS))
def test_nobody_comes_in_without_a_log_in_or_with_anothers(walled: Walled, server: Server, env: dict[str, str]) -> None:
    port = walled.running[server].port
    logins = [{}, {"password": env[f"REDIS_{server}_PASSWORD"]}]
    logins += [{"username": "orders", "password": env[password_variable("payments")]}]
    logins += [{"username": "nobody", "password": ""}]
    for login in logins:
        with redis.Redis(port=port, **login, retry=ONCE) as client, pytest.raises(redis.AuthenticationError):  # type: ignore[arg-type]
            client.ping()


def test_a_service_without_work_on_the_ledger_is_unknown_there(walled: Walled) -> None:
    with walled.login("LEDGER", "chat") as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_an_acl_file_holds_no_password_and_each_service_has_one_of_its_own(env: dict[str, str]) -> None:
    text = "".join(aclfile(server, env) for server in SERVERS)
    passwords = [value for name, value in env.items() if name.endswith("PASSWORD") or name.startswith("REDIS_PASSWORD")]
    assert len(set(passwords)) == len(passwords) > len(WALLS)
    assert [password for password in passwords if password in text] == []
    assert "nopass" not in text
    mighty = [line.split()[1:3] for line in text.splitlines() if "+@all" in line]
    assert mighty == [["default", "off"], [ADMIN, "on"]] * 2


@pytest.mark.feature("F33")
@pytest.mark.parametrize(
    ("service", "handlers"),
    [
        ("storefront", storefront.make_handlers(lambda *_: (False, ""))),
        ("orders", orders.make_handlers(checkout)),
        ("payments", payments.make_handlers(PaymentsSettings().terms)),
        ("fulfillment", fulfillment.make_handlers(FulfillmentSettings())),
        ("notifications", notifications.make_handlers()),
        ("analytics", analytics.make_handlers()),
    ],
)
def test_the_table_lets_each_service_hear_what_it_handles_and_nothing_else(service: str, handlers: Any) -> None:
    others = {channel for channel in handlers.channels if not channel.startswith(f"{service}.")}
    assert set(WALLS[service].hears) == others
    assert all(channel.endswith(".events") for channel in others)


def test_the_table_lets_orders_tell_what_its_contract_says_and_nobody_else_anything() -> None:
    messages = [each for each in vars(orders_contract).values() if isinstance(each, type) and issubclass(each, Message)]
    channels = {each.channel for each in messages if hasattr(each, "channel")}
    assert set(WALLS["orders"].tells) == channels - {"orders.events"}
    assert {service for service, wall in WALLS.items() if wall.tells} == {"orders"}


def test_what_scripts_wrote_behind_the_walls_is_there_after_a_restart(tmp_path: Path, env: dict[str, str]) -> None:
    """Redis replays its append-only file as the default user, who must have the right to all of it."""
    (tmp_path / "users.acl").write_text(aclfile("LEDGER", env))
    server = RedisServer(tmp_path / "redis", "--aclfile", str(tmp_path / "users.acl"), durable=True)
    server.url = f"redis://{ADMIN}:{env['REDIS_LEDGER_PASSWORD']}@127.0.0.1:{server.port}/0"
    try:
        with server.start().client() as client:
            client.eval("redis.call('SET', KEYS[1], 1) redis.call('SET', KEYS[2], 1)", 2, "one", "two")
            client.pipeline(transaction=True).set("three", 1).set("four", 1).execute()
        server.kill()
        with server.start().client() as client:
            assert set(client.keys()) == {"one", "two", "three", "four"}
    finally:
        server.stop()
    assert "NOPERM" not in (tmp_path / "redis" / "redis.log").read_text()


# A stack of the two servers alone: their users change while they run.


def two_servers(env: Mapping[str, str]) -> list[Process]:
    return [process for process in table(env) if process.name in {"redis-ledger", "redis-session"}]


def pids(stack: Stack) -> list[int]:
    return [row["pid"] for row in stack.ps()]


def greets(stack: Stack, service: str, password: str) -> bool:
    port = int(stack.env["PORT_BASE"])
    with redis.Redis(port=port, username=service, password=password, retry=ONCE) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False


def test_users_change_without_a_restart_and_an_old_env_file_gets_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_LEDGER_PASSWORD=from before the walls\nREDIS_SESSION_PASSWORD=another one\n")
    settings = free_settings()
    with Stack(tmp_path, settings, processes=two_servers) as stack:
        for name in ("redis-ledger", "redis-session"):
            assert stat.S_IMODE((tmp_path / name / "users.acl").stat().st_mode) == 0o600
        old, before = stack.env["REDIS_PASSWORD_ORDERS"], pids(stack)
        assert greets(stack, "orders", old)
        stack.up()
        assert pids(stack) == before
        changed = Stack(tmp_path, settings | {"REDIS_PASSWORD_ORDERS": "a new one"}, processes=two_servers)
        changed.up()
        assert (greets(changed, "orders", "a new one"), greets(changed, "orders", old)) == (True, False)
        assert greets(changed, "payments", stack.env["REDIS_PASSWORD_PAYMENTS"])
        assert pids(changed) == before
        moved = Stack(tmp_path, settings | {"REDIS_LEDGER_PASSWORD": "admin's new one"}, processes=two_servers)
        moved.up()
        assert greets(moved, ADMIN, "admin's new one")
        assert [old == new for old, new in zip(before, pids(moved), strict=True)] == [False, True]


def test_an_empty_password_is_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_PASSWORD_ORDERS=\n")
    with pytest.raises(StackError, match="REDIS_PASSWORD_ORDERS is empty"):
        Stack(tmp_path, free_settings(), processes=two_servers).up()


@pytest.mark.feature("F31")
def test_a_service_with_jobs_works_its_queue_off_behind_its_wall(walled: Walled) -> None:
    with walled.login("LEDGER", ADMIN) as admin:
        admin.flushall()
    policy = Policy(visibility_s=0.1, attempts=2, backoff_s=0.001)
    with walled.login("LEDGER", "notifications") as client:
        queue, done = JobQueue("notifications", client), list[str]()

        def do(job: Taken) -> None:
            if job.payload == "fail":
                raise Hopeless
            done.append(job.id)

        queue.enqueue("do", "fail", id="bad")
        queue.enqueue("do", "", id="good")
        Holder(queue, "dies", policy, blocking=client).take(9)
        holder = Holder(queue, "w", policy, blocking=client)
        worker = JobWorker(holder, {"do": do}, policy)
        holder.wait(0.01)
        eventually(holder.tend)
        while worker.step(0.01):
            pass
        assert (done, queue.counts().failed) == (["good"], 1)
        assert queue.retry("bad")
        worker.step()
        assert queue.discard("bad")


@pytest.mark.feature("F43")
def test_a_service_with_long_work_asks_again_for_it_behind_its_wall(walled: Walled) -> None:
    with walled.login("LEDGER", ADMIN) as admin:
        admin.flushall()
    message = MakeInvoice(task_id="t1", order_id="o1")
    with walled.login("LEDGER", "orders") as client:
        commit, places = Scripts(client), Keys()
        decision = compile_effects(opened("orders", message, "c1"), places, service="orders", trace="")
        assert commit.run("admit", list(places), [80, packed(decision)]) == "DONE"
        client.xtrim(keys.stream(MakeInvoice.channel), 0)
        reminder = Reminder("orders", MakeInvoice.channel, client, 0.05)
        assert eventually(reminder.step) == ["t1"]
        ((_, asked),) = client.xrange(keys.stream(MakeInvoice.channel))
        assert Catalogue([MakeInvoice]).open(asked).message == message
        lease = Leases("orders", client).take("t1")
        assert isinstance(lease, Lease)
        assert lease.fail("out of ink")
        assert eventually(lambda: reminder.step() == [] and client.zcard(list_of("orders", "open")) == 0)
