"""The local mode with real servers, on ports and in a folder of its own; the services are stand-ins that echo."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pika
import pika.exceptions
import psutil
import pytest
import redis
import requests

from deploy.local.errors import StackError
from deploy.local.launch import session_members
from deploy.local.ports import free_settings
from deploy.local.processes import Process, table
from deploy.local.stack import Stack
from deploy.local.waiting import holds

SETTINGS = {"RATE_LOGIN": "1r/m", "DATABASE_URL": "", "TLS": "off", "ORDERS_REPLICAS": "2"}


def stand_ins(env: Mapping[str, str]) -> list[Process]:
    """The real table, with every service replaced by an echo."""
    echo = (sys.executable, str(Path(__file__).parents[1] / "stand_in.py"))
    return [process if process.service is None else replace(process, command=echo) for process in table(env)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp(
        "a home with a space and a name that is far too long for the path of a Unix socket " * 2
    )
    with Stack(home, SETTINGS | free_settings(), processes=stand_ins) as running:
        yield running


def pids(stack: Stack) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in stack.ps()}


def ports_of(stack: Stack) -> dict[str, int]:
    return {process.name: process.port for process in stack.processes}


def ask(stack: Stack, path: str, method: str = "GET", **options: object) -> requests.Response:
    return requests.request(method, stack.url + path, timeout=10, **options)  # type: ignore[arg-type]


def come_back(stack: Stack, process: str, old: int) -> bool:
    """Does it run under another pid, ready?"""
    changed = holds(lambda: stack.pid(process) not in {0, old}, within_s=30)
    stack.wait_ready(process, 40)
    return changed


@pytest.mark.feature("F53")
def test_everything_is_ready_after_up(stack: Stack) -> None:
    assert [row["name"] for row in stack.ps() if not row["ready"]] == []


def test_everything_listens_on_loopback_only_the_port_mapper_and_erlang_included(stack: Stack) -> None:
    session = os.getsid(stack.pid("nginx"))
    listening = {
        (each.laddr.ip, each.laddr.port)
        for member in session_members(session)
        for each in psutil.Process(member.pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    wanted = {port for process in stack.processes for port in process.ports}
    assert {port for _, port in listening} == wanted
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_no_secret_is_on_a_command_line(stack: Stack) -> None:
    secrets = [value for name, value in stack.env.items() if name.endswith("PASSWORD")]
    cookie = (stack.layout.home / "rabbitmq" / ".erlang.cookie").read_text()
    lines = [
        " ".join(psutil.Process(member.pid).cmdline()) for member in session_members(os.getsid(stack.pid("nginx")))
    ]
    assert [line for line in lines if any(secret in line for secret in [*secrets, cookie])] == []


@pytest.mark.feature("F53")
def test_a_second_up_changes_nothing_that_runs(stack: Stack) -> None:
    before = pids(stack)
    stack.up()
    assert pids(stack) == before


def test_a_third_replica_joins_and_leaves_and_nobody_else_is_restarted(stack: Stack) -> None:
    before = pids(stack)
    three = Stack(stack.layout.home, {**stack.env, "ORDERS_REPLICAS": "3"}, processes=stand_ins)
    three.up()
    assert holds(lambda: len({ask(stack, "/api/orders").json()["port"] for _ in range(9)}) == 3, within_s=10)
    with_third = pids(three)
    stack.up()
    assert pids(stack) == before
    assert {name: pid for name, pid in with_third.items() if name != "orders-web-3"} == before
    assert not psutil.pid_exists(with_third["orders-web-3"])


def test_a_redis_that_is_killed_comes_back_with_its_data(stack: Stack) -> None:
    client = redis.Redis.from_url(stack.addresses["REDIS_LEDGER_URL"])
    client.set("kept", "1")
    client.close()
    old = stack.signal("redis-ledger", signal.SIGKILL)
    assert come_back(stack, "redis-ledger", old)
    with redis.Redis.from_url(stack.addresses["REDIS_LEDGER_URL"]) as again:
        assert again.get("kept") == b"1"
        assert again.config_get("appendfsync")["appendfsync"] == "always"
        assert again.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def queue(stack: Stack, url: str = "") -> pika.BlockingConnection:
    parameters = pika.URLParameters(url or stack.addresses["RABBITMQ_URL"])
    parameters.socket_timeout = parameters.blocked_connection_timeout = 10
    return pika.BlockingConnection(parameters)


def test_a_rabbitmq_that_is_killed_comes_back_with_its_queues(stack: Stack) -> None:
    with queue(stack) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"still here", pika.BasicProperties(delivery_mode=2))
    old = stack.signal("rabbitmq", signal.SIGKILL)
    assert come_back(stack, "rabbitmq", old)
    with queue(stack) as connection:
        assert connection.channel().basic_get("kept")[2] == b"still here"


def test_rabbitmq_does_not_know_the_user_guest(stack: Stack) -> None:
    address = stack.addresses["RABBITMQ_URL"].rpartition("@")[2]
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        queue(stack, f"amqp://guest:guest@{address}")


def test_an_nginx_master_that_is_killed_comes_back_although_its_workers_live_on(stack: Stack) -> None:
    old = stack.signal("nginx", signal.SIGKILL)
    assert come_back(stack, "nginx", old)
    assert ask(stack, "/health").status_code == 200


@pytest.mark.feature("F50")
@pytest.mark.parametrize(
    ("path", "process"),
    [
        ("/api/products?search=mug", "storefront-web"),
        ("/api/orders/o1/events", "orders-live"),
        ("/api/accounts/me", "payments-web"),
        ("/api/stock/MUG", "fulfillment-web"),
        ("/api/shipments/o1", "fulfillment-web"),
        ("/api/notifications/devices", "notifications-web"),
        ("/api/notifications/devices/d1/socket", "notifications-live"),
        ("/api/analytics/orders", "analytics-web"),
        ("/api/chat/rooms", "chat-web"),
        ("/admin/payments/ledger", "payments-web"),
        ("/docs/chat/", "chat-web"),
    ],
)
def test_each_path_reaches_its_service_unchanged(stack: Stack, path: str, process: str) -> None:
    said = ask(stack, path).json()
    assert said["path"] == path
    assert said["port"] == ports_of(stack)[process]


@pytest.mark.feature("F50")
def test_orders_are_spread_over_the_replicas(stack: Stack) -> None:
    assert len({ask(stack, "/api/orders").json()["port"] for _ in range(20)}) == 2


@pytest.mark.feature("F50")
def test_a_replica_that_is_down_loses_no_request(stack: Stack) -> None:
    stack.stop("orders-web-1")
    try:
        answers = [ask(stack, "/api/orders?limit=5", method) for method in ["GET", "POST"] * 10]
    finally:
        stack.start("orders-web-1")
    assert [answer.status_code for answer in answers] == [200] * 20
    assert answers[1].json()["path"] == "/api/orders?limit=5"


@pytest.mark.feature("F50")
@pytest.mark.parametrize(
    ("method", "key", "expected"),
    [
        ("GET", {}, 200),
        ("POST", {"Idempotency-Key": "k1"}, 200),
        ("POST", {}, 503),
        ("POST", {"Idempotency-Key": ""}, 503),
    ],
)
def test_what_a_replica_took_to_its_grave_is_repeated_only_where_that_is_safe(
    stack: Stack, method: str, key: dict[str, str], expected: int
) -> None:
    assert holds(lambda: len({ask(stack, "/api/orders").json()["port"] for _ in range(4)}) == 2, within_s=10)
    doomed, old = str(ports_of(stack)["orders-web-2"]), stack.pid("orders-web-2")
    seen = set()
    for _ in range(10):  # until it was its turn
        seen.add(ask(stack, "/api/orders?a=b", method, data="body", headers={"X-Die-On": doomed, **key}).status_code)
        if stack.pid("orders-web-2") != old:
            break
    assert come_back(stack, "orders-web-2", old)
    assert seen <= {200, expected}
    assert expected in seen


def test_a_request_id_goes_through_and_a_strange_one_is_replaced(stack: Stack) -> None:
    plain = ask(stack, "/api/cart", headers={"X-Request-ID": "abcd-1234-efgh"})
    assert plain.json()["headers"]["x-request-id"] == plain.headers["X-Request-ID"] == "abcd-1234-efgh"
    strange = ask(stack, "/api/cart", headers={"X-Request-ID": 'x"; drop'})
    assert strange.json()["headers"]["x-request-id"] == strange.headers["X-Request-ID"]
    assert len(strange.headers["X-Request-ID"]) == 32


def test_what_a_client_says_about_its_address_is_not_believed(stack: Stack) -> None:
    claims = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
        "Forwarded": "for=6",
    }
    heard = ask(stack, "/api/cart", headers=claims).json()["headers"]
    assert heard["x-forwarded-for"] == "127.0.0.1"
    assert heard["x-forwarded-proto"] == "http"
    assert heard["x-forwarded-host"] == stack.url.removeprefix("http://")
    assert "forwarded" not in heard


def test_websocket_is_passed_on_to_chat_and_phones_and_no_other_upgrade_to_anyone(stack: Stack) -> None:
    wish = {"Upgrade": "websocket", "Connection": "upgrade"}
    for path in ("/api/chat/socket", "/api/notifications/devices/d1/socket"):
        assert ask(stack, path, headers=wish).json()["headers"]["upgrade"] == "websocket"
    for path in ("/api/cart", "/api/notifications/devices"):
        assert "upgrade" not in ask(stack, path, headers=wish).json()["headers"]
    assert "upgrade" not in ask(stack, "/api/chat/x", headers=wish | {"Upgrade": "h2c"}).json()["headers"]


@pytest.mark.parametrize(
    ("method", "path", "size", "status", "kind"),
    [
        ("POST", "/api/cart", 70_000, 413, "too-large"),
        ("GET", "/api/nothing", 0, 404, "not-found"),
        ("GET", "/admin/nothing/x", 0, 404, "not-found"),
        ("GET", "/-/orders", 0, 404, "not-found"),
    ],
)
def test_what_nginx_refuses_is_a_problem_too(
    stack: Stack, method: str, path: str, size: int, status: int, kind: str
) -> None:
    answer = ask(stack, path, method, data=b"x" * size)
    assert answer.status_code == status
    if path.startswith("/-/"):
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/" + kind)
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.feature("F50")
def test_guessing_passwords_is_limited_and_asking_who_i_am_is_not(stack: Stack) -> None:
    attempts = [ask(stack, "/api/session", "POST", json={}) for _ in range(14)]
    limited = [answer for answer in attempts if answer.status_code == 429]
    assert 1 <= len(limited) <= 4
    assert limited[0].headers["Retry-After"]
    assert limited[0].json()["type"].endswith("/too-many-requests")
    assert ask(stack, "/api/session").status_code == 200


@pytest.mark.feature("F50")
def test_a_service_that_is_down_is_told_as_503_to_programs_and_as_a_page_to_people(stack: Stack) -> None:
    stack.stop("chat-web")
    try:
        api, page = ask(stack, "/api/chat/rooms"), ask(stack, "/docs/chat/")
    finally:
        stack.start("chat-web")
    assert (api.status_code, page.status_code) == (503, 503)
    assert api.json()["type"].endswith("/unavailable")
    assert api.headers["Retry-After"] == page.headers["Retry-After"] == "2"
    assert "Back in a moment" in page.text
    assert ask(stack, "/api/chat/rooms").status_code == 200


def test_a_page_comes_with_the_headers_that_browsers_heed(stack: Stack) -> None:
    page = ask(stack, "/no-such-page")
    assert page.status_code == 404
    assert "text/html" in page.headers["Content-Type"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in page.headers


def test_a_port_that_is_taken_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        stack = Stack(tmp_path, free_settings() | {"FRONT_PORT": taken}, processes=stand_ins)
        with pytest.raises(StackError, match=rf"port {taken} is taken, and nginx needs it: FRONT_PORT moves it"):
            stack.up()
    assert {row["state"] for row in stack.ps()} == {"down"}
    assert not stack.layout.supervisor_conf.exists()


# The two below end the stack, and so come last.


def test_what_a_killed_supervisor_left_is_ended_before_the_next_start(stack: Stack) -> None:
    supervisor = int(stack.layout.pidfile.read_text())
    before = pids(stack)
    os.kill(supervisor, signal.SIGKILL)
    assert holds(lambda: stack.ps()[0]["state"] == "down", within_s=5)
    stack.up()
    assert [name for name, pid in before.items() if psutil.pid_exists(pid) and stack.pid(name) == pid] == []
    assert [row["name"] for row in stack.ps() if not row["ready"]] == []


@pytest.mark.feature("F53")
def test_down_leaves_no_process(stack: Stack) -> None:
    session = os.getsid(stack.pid("nginx"))
    assert len(list(session_members(session))) > 20
    stack.down()
    assert list(session_members(session)) == []
