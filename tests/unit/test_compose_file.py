"""docker-compose.yml, as Compose and a person read it: the same processes as the local mode, and no wall left out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.databases import SERVICES as SQL_SERVICES
from deploy.local import dotenv
from deploy.local.processes import IDLE, LATER, SOON, Process, table
from deploy.local.service_env import LOGINS, SERVER_SECRETS
from deploy.setup import files
from deploy.walls import WALLS, servers_of
from deploy.walls_rabbit import LIMITS, PARTS
from sagashop.dotenv import parse
from sagashop.settings import Settings, describe
from services.fulfillment.settings import FulfillmentSettings
from services.notifications.settings import NotificationsSettings
from services.orders.settings import OrdersSettings
from services.payments.settings import PaymentsSettings
from services.storefront.settings import StorefrontSettings

DOCUMENT: dict[str, Any] = yaml.safe_load((dotenv.REPO / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
EXAMPLE = parse(dotenv.EXAMPLE.read_text())
TABLE = [process for process in table({**EXAMPLE, "ORDERS_REPLICAS": "1"}) if process.service]
ONE_SHOTS = {"setup", "databases"}
OWN_SETTINGS: dict[str, type[Settings]] = {
    "storefront": StorefrontSettings,
    "orders": OrdersSettings,
    "payments": PaymentsSettings,
    "fulfillment": FulfillmentSettings,
    "notifications": NotificationsSettings,
}
# Compose says these itself, or says them for some processes only; the last comes from TLS (services/start).
FIXED = {"BIND_HOST", "HEALTH_PORT", "WORKER_NAME", "LINGER_MS", "BATCH_SIZE", "DATABASE_URL", "COOKIE_SECURE"}
each_service = pytest.mark.parametrize("name", SERVICES)
each_process = pytest.mark.parametrize("process", TABLE, ids=lambda process: process.name)


def container(process: Process) -> dict[str, Any]:
    """What Compose has of a process; replicas share one entry."""
    return SERVICES[re.sub(r"-\d+$", "", process.name)]


def mentioned(part: object) -> set[str]:
    """The variables of .env that a part of the file takes in: by `${NAME}`, or by a name without a value."""
    text = yaml.safe_dump(part)
    named = set(re.findall(r"\$\{([A-Z_]+)", text))
    return named | {name for name, value in (part.get("environment") or {}).items() if value is None} if isinstance(
        part, dict) else named  # fmt: skip


@pytest.mark.parametrize("profiles", [(), ("--profile", "*")], ids=["without profiles", "with every profile"])
def test_compose_itself_finds_nothing_wrong_with_the_file(tmp_path: Path, profiles: tuple[str, ...]) -> None:
    dotenv.ensure(tmp_path / ".env")
    shell = {name: value for name, value in os.environ.items() if name not in EXAMPLE and "COMPOSE" not in name}
    without_engine = {**shell, "DOCKER_HOST": f"unix://{tmp_path}/nobody-listens"}
    if not plugin_is_there(without_engine):
        pytest.skip("the Compose plugin of Docker is not installed; deploy/offline/engine.sh fetches it")
    where = ("--project-directory", str(dotenv.REPO), "--env-file", str(tmp_path / ".env"))
    done = compose(without_engine, *where, *profiles, "config", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def plugin_is_there(env: dict[str, str]) -> bool:
    try:
        return compose(env, "version").returncode == 0
    except FileNotFoundError:
        return False


def compose(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", "compose", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


@each_service
def test_a_container_has_only_the_rights_that_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not [volume for volume in service.get("volumes", []) if volume.startswith((".", "/"))]


@each_service
def test_a_container_has_bounds(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


@each_service
def test_a_container_that_stays_is_asked_whether_it_is_ready_and_started_again(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOTS:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"]
        assert service["healthcheck"]["interval"]
        assert service["restart"] == "unless-stopped"
        assert service["stop_grace_period"]


@each_service
def test_an_image_has_a_version_and_can_be_named_in_the_settings(name: str) -> None:
    image = SERVICES[name]["image"]
    given = re.fullmatch(r"\$\{([A-Z_]+_IMAGE):-(.+)\}", image)
    if given:
        assert EXAMPLE[given[1]] == given[2]
    else:
        assert image.startswith("${COMPOSE_PROJECT_NAME}/")  # built here: two checkouts do not share one
    assert re.search(r":[\w.-]+\}?$", image)
    assert "latest" not in image
    assert "container_name" not in SERVICES[name]


def test_only_nginx_is_published_and_only_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"nginx"}
    assert all(port.startswith("127.0.0.1:") for port in published["nginx"])


def test_only_nginx_and_the_mailer_stand_on_networks_that_lead_outside() -> None:
    assert DOCUMENT["networks"]["back"] == {"internal": True}
    assert {name: service["networks"] for name, service in SERVICES.items() if service["networks"] != ["back"]} == {
        "nginx": ["front", "back"],
        "notifications-mailer": ["back", "out"],
    }


@each_process
def test_a_process_runs_the_command_of_the_local_mode(process: Process) -> None:
    assert shlex.split(container(process)["command"])[1:] == list(process.command[1:])


@each_process
def test_a_process_is_told_what_the_local_mode_tells_it(process: Process) -> None:
    told = container(process)["environment"]
    own = {name: value for name, value in process.env.items() if name in {"LINGER_MS", "BATCH_SIZE"}}
    assert {name: told.get(name) for name in ("LINGER_MS", "BATCH_SIZE") if name in told} == own
    ports = {"PORT": "8000"} if "PORT" in process.env else {"HEALTH_PORT": "8001"}
    assert {name: told[name] for name in ("PORT", "HEALTH_PORT") if name in told} == ports


@each_process
def test_a_process_that_may_come_later_has_a_smaller_share_of_the_processors(process: Process) -> None:
    """Compose knows no processor that is idle: what the local mode runs only then has the smallest share."""
    shares = {0: 1024, SOON: 512, LATER: 64, IDLE: 64}
    assert container(process).get("cpu_shares", 1024) == shares[process.nice]


@each_process
def test_a_process_comes_to_the_servers_as_the_user_of_its_service_and_no_other(process: Process) -> None:
    service, told = str(process.service), container(process)["environment"]
    for server in ("LEDGER", "SESSION"):
        url = told.get(f"REDIS_{server}_URL")
        assert (url is not None) == (server in servers_of(service))
        assert url is None or url.startswith(f"redis://{service}:${{REDIS_PASSWORD_{service.upper()}")
    assert ("DATABASE_URL" in told) == (service in SQL_SERVICES)
    if service in SQL_SERVICES:
        assert told["DATABASE_URL"].startswith(f"mysql+pymysql://{service}:${{MYSQL_PASSWORD_{service.upper()}")
        assert told["DATABASE_URL"].endswith(f"@mysql:3306/sagashop_{service}")


@each_process
def test_a_process_knows_no_secret_but_its_own(process: Process) -> None:
    service = str(process.service)
    own = {f"REDIS_PASSWORD_{service.upper()}"}
    own |= {f"RABBITMQ_PASSWORD_{service.upper()}"} if service in PARTS else set()
    own |= {f"MYSQL_PASSWORD_{service.upper()}"} if service in SQL_SERVICES else set()
    own |= set(LOGINS) if service == "storefront" else set()
    assert mentioned(container(process)) & {*SERVER_SECRETS, *LOGINS} == own


@pytest.mark.parametrize("service", WALLS)
def test_every_setting_of_a_service_can_be_given_in_compose(service: str) -> None:
    told = container(next(process for process in TABLE if process.service == service))["environment"]
    settings = {row.env_name for row in describe(OWN_SETTINGS.get(service, Settings))}
    elsewhere = set() if "LEDGER" in servers_of(service) else {"REDIS_LEDGER_URL"}
    elsewhere |= set() if service in PARTS else {"RABBITMQ_URL"}
    assert settings - told.keys() - FIXED - elsewhere == set()


def test_there_is_no_process_that_the_local_mode_lacks() -> None:
    servers = {"redis-ledger", "redis-session", "rabbitmq", "nginx", "mysql", "mail", "carrier"}
    processes = {re.sub(r"-\d+$", "", process.name) for process in TABLE}
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == processes | servers | ONE_SHOTS


def test_servers_are_told_no_secret_of_a_service() -> None:
    of_services = {name for name in SERVER_SECRETS if "_PASSWORD_" in name}
    for name in ("redis-ledger", "redis-session", "rabbitmq", "nginx", "mysql", "adminer", "redis-console"):
        assert mentioned(SERVICES[name]) & of_services == set()


def test_setup_and_databases_together_are_told_all_they_render() -> None:
    assert {*files.NEEDED, *LIMITS} == SERVICES["setup"]["environment"].keys()
    assert mentioned(SERVICES["databases"]) == {"MYSQL_ROOT_PASSWORD", "COMPOSE_PROJECT_NAME"} | {
        f"MYSQL_PASSWORD_{service.upper()}" for service in SQL_SERVICES
    }


def test_every_name_that_the_file_takes_from_the_settings_is_in_the_example_or_a_setting_of_a_service() -> None:
    classes: list[type[Settings]] = [Settings, *OWN_SETTINGS.values()]
    known = EXAMPLE.keys() | {row.env_name for cls in classes for row in describe(cls)}
    used = set().union(*(mentioned(service) for service in SERVICES.values())) - {"COMPOSE_PROJECT_NAME"}
    assert used <= known


def test_a_service_waits_for_what_it_cannot_start_without() -> None:
    for process in TABLE:
        waits = container(process)["depends_on"]
        assert {"setup", "redis-ledger", "redis-session"} <= waits.keys()
        assert ("databases" in waits) == (process.service in SQL_SERVICES)
        conditions = {condition["condition"] for condition in waits.values()}
        assert conditions <= {"service_healthy", "service_completed_successfully"}


def test_nginx_finds_each_upstream_at_the_compose_service_behind_it() -> None:
    env = {**EXAMPLE, "ORDERS_REPLICAS": "3"}
    lines = [line.split() for line in files.upstreams_list(env).splitlines()]
    assert ["orders", "orders-web", "8000"] in lines
    assert ["orders_live", "orders-live", "8000"] in lines
    assert {service for _, service, _ in lines} <= SERVICES.keys()
