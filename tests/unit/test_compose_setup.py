"""What the one-shot container of Compose writes, and what Nginx's own start script makes of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from deploy.config.nginx import UPSTREAMS
from deploy.local import dotenv, servers
from deploy.local.errors import StackError
from deploy.offline import pip_settings
from deploy.setup import files

SCRIPT = dotenv.REPO / "deploy/setup/front-door.sh"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return dotenv.ensure(tmp_path / ".env")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """As the image has it: a folder for each server."""
    for name in ("nginx", "redis-ledger", "redis-session", "rabbitmq"):
        (tmp_path / "config" / name).mkdir(parents=True)
    return tmp_path / "config"


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """An environment in which these programs come first."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_writing_again_changes_nothing_and_a_changed_limit_changes_one_file_and_the_version(
    config: Path, env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(config, env)
    version = (config / "nginx/version").read_text()
    capsys.readouterr()
    files.write(config, env)
    assert "0 files changed" in capsys.readouterr().out
    assert (config / "nginx/version").read_text() == version
    files.write(config, env | {"RATE_GENERAL": "1r/s"})
    assert capsys.readouterr().out.split() == ["setup:", "1", "files", "changed", "nginx/rendered/limits.conf"]
    assert (config / "nginx/version").read_text() != version


def test_a_changed_limit_of_phones_changes_rabbitmqs_policy_and_says_that_it_is_read_at_start(
    config: Path, env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(config, env)
    capsys.readouterr()
    files.write(config, env | {"PHONE_QUEUE_LENGTH": "7"})
    assert "docker compose restart rabbitmq" in capsys.readouterr().out
    (policy,) = json.loads((config / "rabbitmq/definitions.json").read_text())["policies"]
    assert (policy["pattern"], policy["definition"]["max-length"]) == (r"^mobile\.device\.", 7)
    with pytest.raises(StackError, match="PHONE_QUEUE_LENGTH"):
        files.write(config, env | {"PHONE_QUEUE_LENGTH": "many"})


def test_a_server_finds_only_its_own_secrets_in_its_volume(config: Path, env: dict[str, str]) -> None:
    files.write(config, env)
    secrets = {name: value for name, value in env.items() if "PASSWORD" in name and value}
    found = {
        (path.relative_to(config).parts[0], name)
        for path in config.rglob("*")
        if path.is_file()
        for name, value in secrets.items()
        if value in path.read_text(errors="replace")
    }
    assert found == set()  # Redis and RabbitMQ know passwords by their hashes


def test_a_file_that_a_server_reads_at_its_start_only_is_told(
    config: Path, env: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(config, env)
    assert "restart" not in capsys.readouterr().out
    files.write(config, env | {"RABBITMQ_PASSWORD": "another"})
    assert "docker compose restart rabbitmq" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"REDIS_PASSWORD_CHAT": ""}, "REDIS_PASSWORD_CHAT"),
        ({"RATE_LOGIN": ""}, "make up"),
        ({"REDIS_PASSWORD_ORDERS": "a/b@c"}, "REDIS_PASSWORD_ORDERS has a character"),
        ({"TLS": "yes"}, "TLS is 'yes'"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_before_anything_is_written(
    config: Path, env: dict[str, str], changed: dict[str, str], told: str
) -> None:
    with pytest.raises(StackError, match=told):
        files.write(config, env | changed)
    assert not [path for path in config.rglob("*") if path.is_file()]


@pytest.mark.parametrize("tls", ["on", "off"])
def test_nginx_accepts_what_is_written_whoever_runs(config: Path, env: dict[str, str], tls: str) -> None:
    files.write(config, env | {"TLS": tls})
    nginx = config / "nginx"
    upstreams(nginx, {})
    (nginx / "run/keepalive.conf").write_text("# this Nginx may be an older one\n")
    command = [servers.executable("nginx"), "-e", "stderr", "-t", "-q", "-p", f"{nginx}/", "-c", "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def upstreams(folder: Path, there: dict[str, list[str]], leaving: str = "", version: str = "1.30.1") -> str:
    """What the script writes when Docker's DNS knows these containers, up to the moment that it becomes Nginx."""
    answers = "\n".join(
        f"{address} {kind} {service if kind == 'STREAM' and first else ''}"
        for service, addresses in there.items()
        for first, address in zip([True] + [False] * len(addresses), addresses, strict=False)
        for kind in ("STREAM", "DGRAM", "RAW")
    )
    env = programs(
        folder / "bin", getent=f"cat <<'END'\n{answers}\nEND", nginx=f"echo nginx version: nginx/{version} >&2"
    )
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run/leaving").write_text(leaving)
    script = SCRIPT.read_text().replace("refresh &", "")
    (folder / "front-door.sh").write_text(script)
    subprocess.run(["sh", str(folder / "front-door.sh")], env=env, timeout=10, check=True, capture_output=True)
    return (folder / "run/upstreams.conf").read_text()


def test_each_replica_is_listed_in_a_fixed_order_and_one_that_leaves_is_not(config: Path, env: dict[str, str]) -> None:
    files.write(config, env)
    there = {"orders-web": ["10.0.0.14", "10.0.0.1", "10.0.0.3"], "chat-web": ["10.0.0.2"]}
    text = upstreams(config / "nginx", there, leaving="10.0.0.1\n")
    blocks = {block.split(" {")[0]: block for block in text.split("upstream ")[1:]}
    listed = [line.split()[1] for line in blocks["orders"].splitlines() if "server" in line]
    assert listed == ["10.0.0.14:8000", "10.0.0.3:8000"]
    assert "server 10.0.0.2:8000" in blocks["chat"]


def test_a_service_that_nobody_runs_is_an_upstream_that_refuses_at_once(config: Path, env: dict[str, str]) -> None:
    files.write(config, env)
    text = upstreams(config / "nginx", {"chat-web": ["10.0.0.2"]})
    assert text.count("server 127.0.0.255:8000;") == len(UPSTREAMS) - 1


@pytest.mark.parametrize(
    ("version", "told"),
    [
        *((version, "") for version in ("1.22.1", "1.26.3 \\(Debian\\)", "1.27.3")),
        *((version, "keepalive_min_timeout 10s;\n") for version in ("1.27.4", "1.28.0", "1.30.1", "2.0.0")),
    ],
)
def test_idle_clients_are_kept_through_a_reload_where_nginx_can(
    config: Path, env: dict[str, str], version: str, told: str
) -> None:
    files.write(config, env)
    upstreams(config / "nginx", {}, version=version)
    assert (config / "nginx/run/keepalive.conf").read_text() == told


def test_settings_of_pip_reach_the_build_and_go_when_they_are_gone(tmp_path: Path) -> None:
    authority, folder = tmp_path / "authority.pem", tmp_path / "build"
    authority.write_text("an authority\n")
    nothing = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}
    pip_settings.hand_over(
        folder, {**nothing, "PIP_CERT": str(authority), "PIP_INDEX_URL": "https://packages.example/simple"}
    )
    assert (folder / "ca.pem").read_text() == "an authority\n"
    assert "index-url = https://packages.example/simple" in (folder / "pip.conf").read_text()
    pip_settings.hand_over(folder, nothing)
    assert list(folder.iterdir()) == []
