"""`sagashop rabbit topology`, as the services' own endpoints tell it, without the front door."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.walls_rabbit import PARTS, everything, permissions, routing_keys
from sagashop.cli import main
from sagashop.cli.context import Context
from sagashop.web import admin
from tests.apps import apps

pytestmark = pytest.mark.feature("F42")
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with the services' applications in place of a shop."""
    monkeypatch.setattr(admin, "require_operator", lambda: None)
    answers: dict[str, Any] = {}  # asked for before the command prints: in one process, they log where it prints
    for service in PARTS:
        path = f"/admin/{service}/rabbit"
        answers[path] = apps(service, tmp_path)[0].test_client().get(path).json

    class Shop:
        def get(self, path: str) -> Any:
            return answers[path]

    monkeypatch.setattr(Context, "operator", lambda _: Shop())

    def command(*arguments: str) -> str:
        result = CliRunner().invoke(main, [*arguments, "rabbit", "topology"])
        assert result.exit_code == 0, result.output
        return result.stdout

    return command


def test_every_exchange_queue_and_binding_of_the_shop_is_told(run: Run) -> None:
    parts = json.loads(run("--json"))
    told = [part[whose] for part in parts for whose in ("own", "shared")]
    whole = everything()
    assert {each["name"] for part in told for each in part["exchanges"]} == {each.name for each in whole.exchanges}
    queues = {each["name"]: each["arguments"] for part in told for each in part["queues"]}
    assert queues.items() >= {each.name: each.arguments for each in whole.queues}.items()
    assert queues.keys() - {each.name for each in whole.queues} == {"mobile.device.<device>"}
    bindings = {(each["exchange"], each["key"], each["queue"]) for part in told for each in part["bindings"]}
    assert bindings >= {(each.exchange, each.key, each.queue) for each in whole.bindings}
    assert ("mobile.direct", "<customer>", "mobile.device.<device>") in bindings


def test_what_a_service_says_it_may_do_is_what_its_user_may_do(run: Run) -> None:
    parts = json.loads(run("--json"))
    assert [part["service"] for part in parts] == list(PARTS)
    for part in parts:
        service, told = part["service"], part["rights"]
        keys = routing_keys(service)
        assert told == permissions(service) | {"publishes": keys["write"], "binds": keys["read"]}, service


def test_the_tables_show_what_has_no_queue_of_its_own_and_the_users(run: Run) -> None:
    lines = [" ".join(line.split()) for line in run().splitlines()]
    assert "notifications mobile.broadcast fanout is dropped" in lines
    assert "(the broker's start) sagashop.unroutable fanout is dropped" in lines
    assert "orders orders.work direct sagashop.unroutable" in lines
    assert "notifications mobile.device.<device> classic" in lines
    assert "mobile.direct <customer> mobile.device.<device>" in lines
    assert "sagashop.events fulfillment.commands.# fulfillment.inbox" in lines
    limits = "message-ttl 604800000, max-length 500, overflow drop-head, expires 2592000000"
    assert rf"mobile.device ^mobile\.device\. {limits}" in lines
    users = lines[lines.index("6 users") :]
    assert "orders orders.* orders.* orders.* fulfillment.commands.* fulfillment.events.*" in users
    assert "payments.commands.* storefront.events.*" in users
    assert lines.count("") == 4
