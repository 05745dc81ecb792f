"""The consoles are for the operator alone, and each reaches its server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from deploy.compose import docker
from deploy.compose.stack import ComposeStack
from sagashop.cli.shop import Shop
from services.storefront.tables import metadata
from tests.people import People

ALWAYS = ("/consoles/index.html", "/consoles/rabbitmq/")
BY_PROFILE = {"/consoles/sql/": "adminer", "/consoles/redis/": "redis-console"}

pytestmark = pytest.mark.feature("F51")


def assert_for_the_operator_alone(guest: Shop, customer: Shop, operator: Shop, path: str, status: int) -> None:
    assert guest.send("GET", path).status_code == 401
    assert customer.send("GET", path).status_code == 403
    assert operator.send("GET", path).status_code == status


@pytest.mark.parametrize("path", [*ALWAYS, *BY_PROFILE])
def test_a_console_opens_for_the_operator_and_for_nobody_else(
    guest: Shop, customer: Shop, operator: Shop, path: str
) -> None:
    """Those of the profile do not run here, which only the operator is told."""
    assert_for_the_operator_alone(guest, customer, operator, path, 200 if path in ALWAYS else 503)


@pytest.fixture(scope="module")
def consoles(compose: ComposeStack) -> Iterator[ComposeStack]:
    """The same project as `COMPOSE_PROFILES=consoles make up` has it; afterwards it is without consoles again."""
    changed = ComposeStack(compose.name, {**compose.env, "COMPOSE_PROFILES": "consoles"}, env_file=compose.env_file)
    try:
        changed.build()
        changed.up()
        yield changed
    finally:
        changed.compose("rm", "--stop", "--force", *BY_PROFILE.values())
        docker.run("image", "rm", "--force", f"{compose.name}/redis-console:local")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", BY_PROFILE)
def test_a_console_of_the_profile_opens_for_the_operator_and_for_nobody_else(
    consoles: ComposeStack, guest: Shop, customer: Shop, operator: Shop, path: str
) -> None:
    assert consoles.container(BY_PROFILE[path]).ready
    assert_for_the_operator_alone(guest, customer, operator, path, 200)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_sql_console_lets_a_service_in_with_its_password_and_lists_its_tables(
    consoles: ComposeStack, people: People
) -> None:
    operator = people.operator()
    fields = re.findall(r"<input[^>]*auth\[server\][^>]*>", operator.send("GET", "/consoles/sql/").text)
    assert ['value="mysql"' in field for field in fields] == [True]
    assert "Access denied" in logged_in(operator, "wrong")
    page = logged_in(operator, consoles.env["MYSQL_PASSWORD_STOREFRONT"])
    assert set(metadata.tables) <= set(re.findall(r"[?;&]select=(\w+)", page))


def logged_in(operator: Shop, password: str) -> str:
    """The page that storefront's user sees first."""
    form = {"driver": "server", "server": "mysql", "username": "storefront", "password": password}
    form["db"] = "sagashop_storefront"
    return operator.send("POST", "/consoles/sql/", data={f"auth[{name}]": form[name] for name in form}).text


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_redis_console_lists_the_keys_of_both_servers_and_changes_none(
    consoles: ComposeStack, operator: Shop
) -> None:
    assert "Redis Commander" in operator.send("GET", "/consoles/redis/").text
    known = operator.get("/consoles/redis/connections")["connections"]
    assert {each["label"] for each in known} == {"ledger", "session"}
    for each in known:
        folders = operator.get(f"/consoles/redis/apiv2/keys/{each['conId']}/*")["data"]
        assert "{0}:" in folders  # where all services have their keys
        told = operator.post(f"/consoles/redis/apiv2/exec/{each['conId']}", {"cmd": "SET changed here"})
        assert told == {"data": "ERROR: Command not read-only"}
