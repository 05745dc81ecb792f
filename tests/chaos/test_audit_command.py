"""`sagashop audit` at a running stack: its status and its words."""

from __future__ import annotations

import json

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
