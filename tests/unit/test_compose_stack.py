"""What is asked of a `docker` and made of its answers; the program is a stand-in that says what the test wants."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.chosen import chosen
from deploy.compose.stack import ComposeStack
from deploy.local.errors import StackError
from deploy.local.ports import find_free
from deploy.local.stack import Stack

Say = Callable[..., None]


def container(service: str, number: int = 1, state: str = "running", health: str = "healthy") -> dict[str, Any]:
    """As `docker inspect` shows one."""
    labels = {"service": service, "container-number": str(number)}
    return {
        "Id": f"id-{service}-{number}",
        "State": {
            "Status": state,
            "Pid": 7 if state == "running" else 0,
            "ExitCode": 3,
            "StartedAt": "2026-11-22T08:00",
        }
        | ({"Health": {"Status": health}} if health else {}),
        "RestartCount": 0,
        "Config": {"Labels": {f"com.docker.compose.{name}": value for name, value in labels.items()}},
        "NetworkSettings": {"Networks": {"shop_back": {"IPAddress": "172.30.0.9" if state == "running" else ""}}},
    }


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Makes a `docker` that knows these containers, and fails at `compose` with these words where there are any."""

    def make(*containers: dict[str, Any], compose_fails: str = "") -> None:
        (tmp_path / "inspected").write_text(json.dumps(containers))
        (tmp_path / "error").write_text(compose_fails)
        docker = tmp_path / "docker"
        docker.write_text(
            "#!/bin/sh\ncd $(dirname $0)\n"
            f"case $1 in ps) echo {' '.join(each['Id'] for each in containers)} ;; inspect) cat inspected ;;\n"
            "logs) echo it said this at last ;; compose) cat error >&2; [ ! -s error ] ;; esac\n"
        )
        docker.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return make


@pytest.fixture
def stack(tmp_path: Path) -> ComposeStack:
    ports = {name: str(find_free(name)) for name in ("FRONT_PORT", "FRONT_TLS_PORT")}
    return ComposeStack("shop", ports, env_file=tmp_path / ".env")


def test_containers_have_the_names_of_the_local_processes(say: Say, stack: ComposeStack) -> None:
    say(container("orders-web", 1), container("orders-web", 2), container("orders-worker"), container("redis-ledger"),
        container("setup", state="exited"))  # fmt: skip
    assert stack.services == ["orders-web-1", "orders-web-2", "orders-worker"]
    assert stack.matching("orders") == stack.services
    assert stack.matching("orders-web") == ["orders-web-1", "orders-web-2"]
    assert [row["name"] for row in stack.ps()] == [*stack.services, "redis-ledger"]
    with pytest.raises(StackError, match=r"no container or service 'payments'\. There are: orders-web-1"):
        stack.matching("payments")


def test_a_process_is_reached_at_the_address_of_its_container_while_it_runs(say: Say, stack: ComposeStack) -> None:
    say(container("orders-live"), container("orders-worker"), container("redis-ledger"),
        container("redis-session", state="exited"))  # fmt: skip
    assert stack.inside("orders-live") == "http://172.30.0.9:8000"
    assert stack.inside("orders-worker") == "http://172.30.0.9:8001"
    assert set(stack.addresses) == {"REDIS_LEDGER_URL"}
    assert stack.addresses["REDIS_LEDGER_URL"].endswith("@172.30.0.9:6379/0")


def test_what_does_not_become_ready_is_told_with_the_end_of_its_log(say: Say, stack: ComposeStack) -> None:
    say(container("mysql", health="unhealthy"), container("nginx"), compose_fails="dependency failed to start")
    with pytest.raises(StackError, match=r"(?s)mysql is not ready.*it said this at last.*make logs s=mysql"):
        stack.up()


def test_a_one_shot_that_failed_is_told_too(say: Say, stack: ComposeStack) -> None:
    say(container("setup", state="exited", health=""), compose_fails="service setup didn't complete")
    with pytest.raises(StackError, match=r"(?s)setup is not ready \(exited, status 3\).*it said this at last"):
        stack.up()


def test_a_registry_that_cannot_be_reached_is_answered_with_the_next_command(say: Say, stack: ComposeStack) -> None:
    say(compose_fails="dial tcp: lookup registry.example: no such host")
    with pytest.raises(StackError, match=r"(?s)no such host.*make base-images.*MODE=local"):
        stack.up()


def test_a_network_that_the_engine_keeps_by_mistake_is_left_there_and_other_failures_are_told(
    say: Say, stack: ComposeStack
) -> None:
    kept = "network shop_back has active endpoints"
    say(compose_fails=kept)
    stack.destroy()
    say(container("nginx"), compose_fails=kept)
    with pytest.raises(StackError, match="active endpoints"):
        stack.destroy()
    say(compose_fails="cannot remove volume")
    with pytest.raises(StackError, match="cannot remove volume"):
        stack.destroy()


def test_a_local_stack_that_runs_is_the_one_that_is_meant(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGASHOP_HOME", str(tmp_path))
    monkeypatch.setenv("SAGASHOP_ENV", str(tmp_path / ".env"))
    monkeypatch.delenv("MODE", raising=False)
    say()
    assert chosen()[0].mode == "compose"
    monkeypatch.setattr(Stack, "runs", True)
    assert chosen()[0].mode == "local"
    monkeypatch.setenv("MODE", "compose")
    assert chosen()[0].mode == "compose"
