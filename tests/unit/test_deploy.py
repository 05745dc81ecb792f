"""What the local mode decides and writes, without starting anything."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.config.nginx import UPSTREAMS
from deploy.local import dotenv, engine, launch, nginx, packages, ports, render, servers
from deploy.local.checks import checked
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.processes import IDLE, Process, table, upstream_of
from deploy.local.service_env import service_env
from deploy.walls import WALLS
from deploy.walls_rabbit import PARTS, permissions
from sagashop.audit import auditor
from sagashop.cli import context


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return dotenv.ensure(tmp_path / ".env") | {"FRONT_PORT": "8080", "PORT_BASE": "18000", "TLS": "off"}


def named(env: dict[str, str], name: str) -> Process:
    return next(process for process in table(env) if process.name == name)


def test_the_first_start_makes_an_env_file_for_its_owner_with_fresh_secrets(tmp_path: Path) -> None:
    one, two = dotenv.ensure(tmp_path / "one"), dotenv.ensure(tmp_path / "two")
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    assert one["REDIS_LEDGER_PASSWORD"] != two["REDIS_LEDGER_PASSWORD"]
    assert not [value for value in one.values() if "<" in value]
    assert one["FRONT_PORT"] == "8080"


def test_a_value_that_stands_in_the_env_file_is_never_changed(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nFRONT_PORT=9090\nDEMO_PASSWORD=secret word\nEXTRA=1\n")
    values = dotenv.ensure(file)
    assert (values["FRONT_PORT"], values["DEMO_PASSWORD"], values["EXTRA"]) == ("9090", "secret word", "1")
    assert values["PORT_BASE"] == "18000"
    assert file.read_text().startswith("# mine\nFRONT_PORT=9090\nDEMO_PASSWORD=secret word\nEXTRA=1\n")


def test_a_second_start_leaves_the_env_file_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    dotenv.ensure(file)
    before = file.read_bytes()
    dotenv.ensure(file)
    assert file.read_bytes() == before


def test_the_shell_wins_over_the_env_file_for_settings_and_nothing_else_leaks_in(tmp_path: Path) -> None:
    values = dotenv.settings(tmp_path / ".env", {"FRONT_PORT": "9999", "SOME_TOKEN": "x"})
    assert values["FRONT_PORT"] == "9999"
    assert "SOME_TOKEN" not in values


@pytest.mark.parametrize(
    ("name", "value"),
    [("ORDERS_REPLICAS", "8"), ("ORDERS_REPLICAS", "0"), ("PORT_BASE", "eighty"), ("FRONT_PORT", "-1"), ("TLS", "yes")],
)
def test_a_bad_setting_is_named(env: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(StackError, match=name):
        checked(env | {name: value})


def test_the_most_replicas_still_have_ports_of_their_own(env: dict[str, str]) -> None:
    used = [port for process in table(env | {"ORDERS_REPLICAS": "7", "TLS": "on"}) for port in process.ports]
    assert len(used) == len(set(used))
    assert max(port for port in used if port >= 18000) < 18000 + ports.SPAN


def test_a_taken_port_is_told_with_the_process_and_the_setting_that_moves_it(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} is taken, and nginx needs it: FRONT_PORT moves it"):
            ports.check([named(env | {"FRONT_PORT": str(port)}, "nginx")])
        tls = env | {"TLS": "on", "FRONT_PORT": str(ports.find_free("FRONT_PORT")), "FRONT_TLS_PORT": str(port)}
        with pytest.raises(StackError, match="FRONT_TLS_PORT moves it"):
            ports.check([named(tls, "nginx")])
        with pytest.raises(StackError, match="needs it: PORT_BASE moves it"):
            ports.check([named(env | {"PORT_BASE": str(port)}, "redis-ledger")])
        ports.check([named(env | {"PORT_BASE": str(port)}, "redis-ledger")], ours=frozenset({port}))


@pytest.mark.parametrize(
    ("mode", "there", "chosen", "remark"),
    [
        ("", "none", "local", ""),
        ("", "no compose", "local", "docker-compose-plugin"),
        ("", "ready", "compose", ""),
        ("local", "ready", "local", ""),
        ("compose", "ready", "compose", ""),
    ],
)
def test_the_mode_follows_the_setting_then_the_engine(
    mode: str, there: engine.Engine, chosen: str, remark: str
) -> None:
    got, said = engine.choose(mode, engine=lambda: there)
    assert got == chosen
    assert remark in said
    assert bool(said) == bool(remark)


@pytest.mark.parametrize("there", ["none", "no compose"])
def test_a_mode_that_is_not_there_is_refused(there: engine.Engine) -> None:
    with pytest.raises(StackError, match="MODE=local"):
        engine.choose("compose", engine=lambda: there)
    with pytest.raises(StackError, match="local or compose"):
        engine.choose("cloud", engine=lambda: there)


@pytest.mark.parametrize(
    ("does", "expected"),
    [("exit 1", "none"), ("exec sleep 5", "none"), ('[ "$1" = info ]', "no compose"), ("exit 0", "ready")],
)
def test_a_docker_client_counts_only_when_an_engine_answers_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, expected: str
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n{does}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert engine.look(within_s=0.5) == expected


def test_a_change_of_a_setting_leaves_every_other_line_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nORDERS_REPLICAS=2\nEXTRA=1\n")
    dotenv.change(file, "ORDERS_REPLICAS", "3")
    dotenv.change(file, "NEW", "4")
    assert file.read_text() == "# mine\nORDERS_REPLICAS=3\nEXTRA=1\nNEW=4\n"


def test_services_are_told_addresses_and_not_what_is_none_of_their_business(
    env: dict[str, str], tmp_path: Path
) -> None:
    payments = service_env(Layout(tmp_path), env, named(env, "payments-worker"))
    assert payments["REDIS_LEDGER_URL"] == f"redis://payments:{env['REDIS_PASSWORD_PAYMENTS']}@127.0.0.1:18000/0"
    assert payments["DATABASE_URL"] == f"sqlite:///{tmp_path}/data/payments.db"
    assert (payments["WORKER_NAME"], payments["HEALTH_PORT"]) == ("payments-worker-1", "18031")
    assert {name for name in payments if "PASSWORD" in name} == set()
    assert "OPERATOR_PASSWORD" in service_env(Layout(tmp_path), env, named(env, "storefront-web"))


def test_notifications_alone_is_told_where_e_mail_goes(env: dict[str, str], tmp_path: Path) -> None:
    def told(process: str, **settings: str) -> dict[str, str]:
        given = service_env(Layout(tmp_path), env | settings, named(env, process))
        found = {name: value for name, value in given.items() if "MAIL" in name or "SMTP" in name}
        assert found.pop("MAIL_SECRET", None) == (env["MAIL_SECRET"] if process.startswith("notifications") else None)
        return found

    assert told("payments-web", SMTP_URL="smtps://shop:secret@mail.example") == {}
    assert told("notifications-mailer") == {
        "MAIL_FROM": "shop@sagashop.example",
        "SMTP_URL": "smtp://127.0.0.1:18006",
        "MAIL_CATCHER_URL": "http://127.0.0.1:18005",
    }
    real = told("notifications-web", SMTP_URL="smtps://shop:secret@mail.example")
    assert real == {"MAIL_FROM": "shop@sagashop.example", "SMTP_URL": "smtps://shop:secret@mail.example"}


def test_each_service_gets_a_database_of_its_own_from_one_setting(env: dict[str, str], tmp_path: Path) -> None:
    template = env | {"DATABASE_URL": "mysql+pymysql://u:p@db/{service}"}
    told = service_env(Layout(tmp_path), template, named(env, "orders-projector"))
    assert told["DATABASE_URL"] == "mysql+pymysql://u:p@db/orders"
    own = env | {"DATABASE_URL": "mysql+pymysql://{service}:{password}@db/x", "MYSQL_PASSWORD_ORDERS": "a/b"}
    told = service_env(Layout(tmp_path), own, named(env, "orders-projector"))
    assert told["DATABASE_URL"] == "mysql+pymysql://orders:a%2Fb@db/x"
    assert [name for name in told if name.startswith("MYSQL")] == []


def test_rendering_twice_changes_nothing(env: dict[str, str], tmp_path: Path) -> None:
    layout = Layout(tmp_path / "100% home; with # signs")
    assert render.render(layout, env, table(env)).nginx
    before = {file: file.read_bytes() for file in layout.home.rglob("*") if file.is_file()}
    assert render.render(layout, env, table(env)) == (False, set())
    assert {file: file.read_bytes() for file in layout.home.rglob("*") if file.is_file()} == before
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in before} == {0}
    layout.remove_socket_folder()


def test_a_changed_setting_marks_only_the_processes_it_concerns(env: dict[str, str], tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    render.render(layout, env, table(env))
    before = layout.supervisor_conf.read_text().split("[program:")
    more = env | {"REDIS_LEDGER_MAXMEMORY": "777mb", "LOG_LEVEL": env["LOG_LEVEL"]}
    servers.write(layout, more)
    after = render.supervisor_conf(layout, table(more)).split("[program:")
    changed = {new.split("]")[0] for old, new in zip(before, after, strict=True) if old != new}
    assert changed == {"redis-ledger"}


def test_orders_replicas_share_an_upstream_and_event_streams_have_another(env: dict[str, str]) -> None:
    text = nginx.upstreams(table(env | {"ORDERS_REPLICAS": "3"}))
    groups = {block.split(" {")[0]: block.count("server ") for block in text.split("upstream ")[1:]}
    assert groups["orders"] == 3
    assert groups["orders_live"] == groups["notifications_live"] == 1
    assert set(groups) == set(UPSTREAMS)


def test_every_web_process_has_an_upstream_and_a_route(env: dict[str, str]) -> None:
    behind = {upstream for process in table(env) if (upstream := upstream_of(process))}
    assert behind == set(UPSTREAMS)
    routes = (dotenv.REPO / "nginx/routes.conf").read_text()
    assert set(re.findall(r" (\w+);$", routes, re.MULTILINE)) == behind
    (everywhere,) = re.findall(r"\?<named>([a-z|]+)\)", routes)
    assert set(everywhere.split("|")) == {process.service for process in table(env) if upstream_of(process)}


def test_every_service_on_the_ledger_is_audited_and_has_an_operator() -> None:
    on_ledger = {service for service, wall in WALLS.items() if wall.ledger}
    assert set(auditor.SERVICES) == set(context.SERVICES) == on_ledger


@pytest.mark.parametrize("tls", ["on", "off"])
def test_nginx_takes_what_is_rendered(env: dict[str, str], tmp_path: Path, tls: str) -> None:
    settings = env | {"TLS": tls} | ports.free_settings()
    render.render(Layout(tmp_path), settings, table(settings))
    assert nginx.check(Layout(tmp_path), servers.executable("nginx")) is None


def test_the_control_socket_of_a_long_home_is_short_enough_and_private(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ("long" * 30))
    layout.make()
    assert len(str(layout.socket)) <= 100
    assert stat.S_IMODE(layout.socket.parent.stat().st_mode) == 0o700
    layout.remove_socket_folder()
    assert not layout.socket.parent.exists()


def test_who_may_not_install_is_told_the_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda programs: ["nginx", "redis-server"])
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(StackError, match="sudo apt-get install -y --no-install-recommends nginx redis-server"):
        packages.ensure()


@pytest.mark.parametrize("earlier", [None, "#!/bin/sh\nexit 0\n"])
def test_while_installing_nothing_may_start_and_an_earlier_policy_comes_back(
    tmp_path: Path, earlier: str | None
) -> None:
    policy = tmp_path / "policy-rc.d"
    if earlier:
        policy.write_text(earlier)
    with packages.nothing_starts(policy):
        assert "exit 101" in policy.read_text()
        assert os.access(policy, os.X_OK)
    assert (policy.read_text() if policy.exists() else None) == earlier
    assert [file.name for file in tmp_path.iterdir()] == (["policy-rc.d"] if earlier else [])


def test_both_redis_servers_have_their_files_mended_first_and_nothing_else(env: dict[str, str], tmp_path: Path) -> None:
    told = {process.name: servers.before(Layout(tmp_path), process) for process in table(env)}
    assert {name for name, commands in told.items() if commands} == {"redis-ledger", "redis-session"}
    ((*_, manifest),) = told["redis-ledger"]
    assert manifest == f"{tmp_path}/redis-ledger/appendonlydir/appendonly.aof.manifest"


@pytest.mark.parametrize(("first", "status", "said"), [("true", 0, "started\n"), ("false", 1, "")])
def test_a_process_is_started_only_when_what_comes_before_it_succeeds(
    tmp_path: Path, first: str, status: int, said: str
) -> None:
    spec = {"command": ["echo", "started"], "before": [[first]], "wait_for": None, "alone": None, "nice": 0, "env": {}}
    (tmp_path / "spec").write_text(json.dumps(spec))
    command = [sys.executable, "-I", "-S", launch.__file__, str(tmp_path / "spec")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (status, said)


@pytest.mark.parametrize(("nice", "said"), [(0, "0 0"), (15, "15 0"), (IDLE, f"19 {os.SCHED_IDLE}")])
def test_a_process_gives_way_as_far_as_it_is_told(tmp_path: Path, nice: int, said: str) -> None:
    look = "import os; print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))"
    spec: dict[str, object] = {"command": [sys.executable, "-c", look], "nice": nice, "env": {}}
    (tmp_path / "spec").write_text(json.dumps({**spec, "wait_for": None, "alone": None}))
    command = [sys.executable, "-I", "-S", launch.__file__, str(tmp_path / "spec")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() == said


@pytest.mark.parametrize("service", PARTS)
def test_only_notifications_touches_the_queues_of_phones(service: str) -> None:
    allowed = {right for right, pattern in permissions(service).items() if re.match(pattern, "mobile.device.x")}
    assert allowed == ({"configure", "write", "read"} if service == "notifications" else set())
