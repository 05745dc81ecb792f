"""The `sagashop` command against a running stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from deploy.deployment import Deployment
from sagashop.cli import main
from sagashop.cli.shop import Shop
from tests.e2e.conftest import Run, read
from tests.people import new_product, planted
from tests.servers import eventually


def test_an_order_is_created_watched_and_shown(run: Run, operator: Shop) -> None:
    sku = new_product(operator, price_cents=1)
    order = read(run("--json", "orders", "create", f"{sku}:2"))
    assert order["total_cents"] == 2
    assert "OrderCompleted" in run("orders", "watch", order["order_id"]).output
    assert order["order_id"] in run("--json", "orders", "list").output
    saga = read(run("--json", "sagas", "show", order["order_id"]))
    assert [step["step"] for step in saga["steps"]] == ["stock", "payment", "capture", "shipment"]
    assert order["order_id"] in {
        o["order_id"] for o in read(run("--json", "sagas", "list", "--status", "completed"))["items"]
    }


@pytest.mark.feature("F15")
def test_streams_and_lag_are_listed(run: Run) -> None:
    channels = {stream["channel"] for stream in read(run("--json", "streams", "list"))}
    assert {"orders.events", "fulfillment.commands", "payments.commands"} <= channels
    assert "pending" in run("streams", "lag").output


@pytest.mark.feature("F42")
def test_what_is_on_rabbitmq_is_told_by_every_service(run: Run) -> None:
    told = {part["service"]: part for part in read(run("--json", "rabbit", "topology"))}
    assert {each["name"] for each in told["notifications"]["own"]["exchanges"]} >= {"mobile.broadcast", "mobile.direct"}
    assert [each["name"] for each in told["orders"]["shared"]["queues"]] == ["sagashop.unroutable"]
    assert "sagashop.unroutable" in run("rabbit", "topology").output


@pytest.mark.feature("F14")
def test_dead_letters_are_listed_replayed_and_discarded(run: Run, stack: Deployment) -> None:
    def letters() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = read(run("--json", "dlq", "list", "--service", "payments"))
        return found

    malformed = {"type": "CapturePayment", "data": "{"}
    url = stack.addresses["REDIS_LEDGER_URL"]
    with redis.Redis.from_url(url) as ledger, planted(ledger, "payments.commands", malformed):
        first = eventually(letters, deadline_s=15)[0]
    assert "malformed" in run("dlq", "show", "payments", first["id"]).output
    run("dlq", "replay", first["id"], "--service", "payments")
    again = eventually(letters, deadline_s=15)[0]
    assert again["id"] != first["id"], "it is as malformed as before, and came back as a new dead letter"
    run("dlq", "discard", again["id"], "--service", "payments", "--yes")
    assert letters() == []


@pytest.mark.feature("F08")
def test_simulated_visitors_look_around_and_buy(run: Run) -> None:
    tally = read(run("--json", "simulate", "--rate", "20", "--seconds", "3", "--customers", "3", "--seed", "5"))
    assert tally["page_view"] > 0
    assert tally.get("purchase", 0) + tally.get("cancel", 0) > 0
    assert not [outcome for outcome in tally if outcome.startswith(("not", "no answer"))]


@pytest.mark.feature("F08")
def test_a_recorded_purchase_log_is_replayed(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("time,customer,quantity,amount\n1997-01-01,1,2,29.33\n1997-01-02,2,1,14.96\n1997-01-03,1,3,63.34\n")
    assert read(run("--json", "replay", str(log), "--speed", "100000")) == {"accepted": 3}


def test_a_log_with_a_wrong_value_names_its_line(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("time,customer,quantity,amount\n1997-01-01,1,two,29.33\n")
    assert "line 2" in run("replay", str(log), ok=False).output


def test_no_stack_is_said_in_words_with_the_next_step(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--env-file", str(tmp_path / "none"), "--url", "http://127.0.0.1:9", "simulate"])
    assert result.exit_code == 1
    assert "make up" in result.output
