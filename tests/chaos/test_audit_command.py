"""`sagashop audit` at a running stack: its status and its words."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import redis
from click.testing import CliRunner, Result

from sagashop import keys
from sagashop.cli import main
from tests.chaos.shop import ShopUnderTest, place
from tests.people import planted
from tests.servers import eventually


def audit(shop: ShopUnderTest, *options: str) -> Result:
    where = ["--env-file", str(shop.stack.env_file), "--url", shop.stack.url]
    return CliRunner().invoke(main, [*where, "audit", *options])


def test_a_sound_shop_is_status_0_and_a_dead_letter_is_1_unless_allowed(
    shop: ShopUnderTest, ledger: redis.Redis
) -> None:
    place(shop.people.customer(), shop.cheap, "to-be-audited")
    sound = audit(shop, "--wait", "60")
    assert sound.exit_code == 0, sound.output
    assert "everything holds" in sound.output

    letters = keys.dead_letters("payments")
    with planted(ledger, "payments.commands", {"type": "CapturePayment", "data": "{"}):
        eventually(lambda: ledger.xlen(letters), deadline_s=20)
    try:
        spoiled = audit(shop, "--wait", "20", "--json")
        report = json.loads(spoiled.stdout)
        assert (spoiled.exit_code, report["ok"]) == (1, False)
        assert [check["name"] for check in report["checks"] if check["wrong"]] == ["no dead letters"]
        assert [letter["kind"] for letter in report["dead_letters"]] == ["CapturePayment"]
        assert audit(shop, "--allow-dead-letters", "1").exit_code == 0
    finally:
        ledger.delete(letters)


@contextmanager
def stopped(shop: ShopUnderTest) -> Iterator[None]:
    shop.stack.stop("rabbitmq")
    try:
        yield
    finally:
        shop.stack.start("rabbitmq")


@contextmanager
def frozen(shop: ShopUnderTest) -> Iterator[None]:
    """It keeps its connections, takes new ones, and answers nothing."""
    shop.stack.signal("rabbitmq", signal.SIGSTOP)
    try:
        yield
    finally:
        shop.stack.signal("rabbitmq", signal.SIGCONT)


@pytest.mark.parametrize("away", [stopped, frozen])
def test_a_rabbitmq_that_does_not_answer_is_named_and_not_waited_for(
    shop: ShopUnderTest, away: Callable[[ShopUnderTest], AbstractContextManager[None]]
) -> None:
    shop.settle()
    with away(shop):
        began = time.monotonic()
        report = json.loads(audit(shop, "--wait", "1", "--json").stdout)
        took_s = time.monotonic() - began
    wrong = {check["name"]: check for check in report["checks"] if check["wrong"]}
    assert "what waits there is not known" in wrong.pop("nothing waits on RabbitMQ")["examples"][0]
    assert "what lies there is not known" in wrong.pop("RabbitMQ: nothing is unroutable")["examples"][0]
    if shop.bus == "redis":
        assert not wrong  # on the other bus the visits of the audit itself wait for it
    assert took_s < 30
    shop.settle()
