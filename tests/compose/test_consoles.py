"""The consoles are for the operator alone."""

from __future__ import annotations

import pytest

from deploy.compose.stack import ComposeStack
from sagashop.cli.shop import Shop

ALWAYS, BY_PROFILE = ("/consoles/index.html", "/consoles/rabbitmq/"), ("/consoles/sql/", "/consoles/redis/")


@pytest.mark.feature("F51")
@pytest.mark.parametrize("path", ALWAYS + BY_PROFILE)
def test_a_console_opens_for_the_operator_and_for_nobody_else(
    compose: ComposeStack, guest: Shop, customer: Shop, operator: Shop, path: str
) -> None:
    there = path in ALWAYS or "consoles" in compose.env["COMPOSE_PROFILES"]
    assert guest.send("GET", path).status_code == 401
    assert customer.send("GET", path).status_code == 403
    assert operator.send("GET", path).status_code == (200 if there else 503)
