"""The tables in the READMEs of fulfillment, analytics, notifications and chat say what the code does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from sagashop.handlers import Handlers
from sagashop.settings import Settings, describe
from services.analytics import app as analytics
from services.analytics.handlers import make_handlers as analytics_handlers
from services.chat import app as chat
from services.fulfillment import app as fulfillment
from services.fulfillment.handlers import MESSAGES, TABLE
from services.fulfillment.handlers import make_handlers as fulfillment_handlers
from services.fulfillment.settings import FulfillmentSettings
from services.notifications import app as notifications
from services.notifications.handlers import make_handlers as notifications_handlers

APPS: dict[str, Callable[[], Flask]] = {
    "fulfillment": lambda: fulfillment.create(FulfillmentSettings(database_url="sqlite://")),
    "analytics": lambda: analytics.create(Settings()),
    "notifications": lambda: notifications.create(Settings()),
    "chat": lambda: chat.create(Settings()),
}
HANDLERS: dict[str, Handlers] = {
    "fulfillment": fulfillment_handlers(FulfillmentSettings()),
    "analytics": analytics_handlers(),
    "notifications": notifications_handlers(),
}
EVERYWHERE = ("/livez", "/readyz", "/docs/", "/admin/")


def readme(service: str) -> str:
    return (Path(__file__).parents[2] / "services" / service / "README.md").read_text()


def table(service: str, title: str) -> list[tuple[str, ...]]:
    """The table whose first column has this title, its head first."""
    lines = readme(service).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {title} |"))
    end = next(n for n in range(start, len(lines) + 1) if n == len(lines) or not lines[n].startswith("|"))
    head, _, *rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[start:end]]
    return [head, *rows]


@pytest.mark.parametrize("service", APPS)
def test_the_endpoints_are_those_of_the_code(service: str) -> None:
    found = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in APPS[service]().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith(EVERYWHERE)
    }
    assert {(method, path) for method, path, _ in table(service, "method")[1:]} == found


@pytest.mark.parametrize("service", HANDLERS)
def test_the_messages_in_are_those_of_the_handlers(service: str) -> None:
    told = readme(service).split("**In:**")[1].split("**Out")[0]
    assert set(told.split("`")[1::2]) == {kind.__name__ for kind in HANDLERS[service].types}


def test_the_settings_are_those_of_the_code() -> None:
    shared = describe(Settings)
    own = [row for row in describe(FulfillmentSettings) if row not in shared]
    assert table("fulfillment", "variable")[1:] == [(f"`{name}`", default, meaning) for name, default, meaning in own]


def test_the_table_of_messages_is_the_one_that_decides() -> None:
    head, *rows = table("fulfillment", "goods")
    assert head[1:] == tuple(message.__name__ for message in MESSAGES)
    assert rows == [(status, *(cell.__name__.replace("_", " ") for cell in cells)) for status, cells in TABLE.items()]
