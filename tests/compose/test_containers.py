"""What holds for containers alone: who may reach them, as whom they run, what brings them back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.compose import docker
from deploy.compose.stack import ComposeStack
from deploy.local.dotenv import REPO
from tests.compose.hurting import crash
from tests.compose.layers import added_files
from tests.servers import eventually

MEGABYTE = 1_000_000


def inspected(*names: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = json.loads(docker.run("inspect", *names))
    return documents


@pytest.mark.feature("F53")
def test_everything_is_ready_after_up_and_a_second_up_changes_nothing_that_runs(compose: ComposeStack) -> None:
    before = {each.name: (each.id, each.pid, each.ready) for each in compose.containers()}
    assert {ready for *_, ready in before.values()} == {True}
    compose.build()
    compose.up()
    assert {each.name: (each.id, each.pid, each.ready) for each in compose.containers()} == before


def test_only_nginx_can_be_reached_from_outside_and_only_from_this_machine(compose: ComposeStack) -> None:
    published = {
        (container["Config"]["Labels"]["com.docker.compose.service"], binding["HostIp"])
        for container in inspected(*(each.id for each in compose.containers()))
        for bindings in container["HostConfig"]["PortBindings"].values()
        for binding in bindings
    }
    assert published == {("nginx", "127.0.0.1")}


def test_no_container_runs_as_root_and_none_can_become_it(compose: ComposeStack) -> None:
    for each in compose.containers():
        status = docker.run("exec", each.id, "cat", "/proc/1/status")
        rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert "0" not in rows["Uid"].split(), each.name
        assert (rows["CapEff"], rows["CapBnd"], rows["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1"), each.name


def test_no_container_can_write_its_image_and_none_may_take_all_memory(compose: ComposeStack) -> None:
    for container in inspected(*(each.id for each in compose.containers())):
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], container["Name"]
        assert 0 < host["Memory"] <= 1024**3, container["Name"]


def test_the_image_of_the_services_adds_less_than_200_mb_to_its_base(compose: ComposeStack) -> None:
    base, ours = (image["Size"] for image in inspected(compose.env["PYTHON_IMAGE"], f"{compose.name}/services:local"))
    assert ours - base < 200 * MEGABYTE


def test_neither_settings_of_pip_nor_an_authority_of_the_build_are_left_in_the_image(compose: ComposeStack) -> None:
    handed_over = [file.read_bytes() for file in (REPO / ".local/build").glob("*")]
    image = f"{compose.name}/services:local"
    added = added_files(image, compose.env["PYTHON_IMAGE"])
    assert [name for name, content in added if is_left(name, content, handed_over)] == []
    variables = inspected(image)[0]["Config"]["Env"]
    assert not [each for each in variables if each.startswith(("PIP_", "SSL_CERT", "REQUESTS_CA"))]


def is_left(name: str, content: bytes, handed_over: list[bytes]) -> bool:
    """Libraries bring certificates: those of public authorities, and some for tests of their own."""
    authority = b"-----BEGIN CERTIFICATE-----" in content and "/site-packages/" not in name
    return authority or content in handed_over or f"/{name}".endswith(("/pip.conf", "/ca.pem"))


@pytest.mark.feature("F20")
@pytest.mark.parametrize("process", ["orders-worker", "orders-web-1", "redis-session", "nginx"])
def test_what_crashes_is_started_again_by_the_engine(compose: ComposeStack, process: str) -> None:
    before = compose.container(process)
    crash(compose, process)
    eventually(lambda: compose.container(process).restarts > before.restarts, deadline_s=20, every_s=0.2)
    compose.wait_ready(process)
    assert compose.pid(process) != before.pid
