"""The tables in the services' READMEs say what the code does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sagashop.handlers import Handlers
from sagashop.saga import RULES, Incoming, Status, Step
from sagashop.settings import Settings, describe
from services.analytics.handlers import make_handlers as analytics_handlers
from services.fulfillment.handlers import MESSAGES, TABLE
from services.fulfillment.handlers import make_handlers as fulfillment_handlers
from services.fulfillment.settings import FulfillmentSettings
from services.notifications.handlers import make_handlers as notifications_handlers
from services.orders.domain import EVENTS, OrderStatus
from services.orders.handlers import make_handlers as orders_handlers
from services.orders.saga import checkout
from services.payments.domain import MOVES
from services.payments.handlers import make_handlers as payments_handlers
from services.payments.ledger import TRANSFERS
from services.payments.settings import PaymentsSettings
from tests.apps import SETTINGS, apps
from tests.readme import names, read, section, table

HANDLERS: Mapping[str, Handlers] = {
    "orders": orders_handlers(checkout),
    "payments": payments_handlers(PaymentsSettings().terms),
    "fulfillment": fulfillment_handlers(FulfillmentSettings()),
    "notifications": notifications_handlers(),
    "analytics": analytics_handlers(),
}


def readme(service: str) -> str:
    return read(f"services/{service}/README.md")


@pytest.mark.parametrize("service", SETTINGS)
def test_the_endpoints_are_those_of_the_code(service: str, tmp_path: Path) -> None:
    """Those that every service has (health, docs, the operator's) come from sagashop, and are not repeated."""
    routed = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for app in apps(service, tmp_path)
        for rule in app.url_map.iter_rules()
        if app.view_functions[rule.endpoint].__module__.startswith(f"services.{service}.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(method, path) for method, path, _ in table(readme(service), "method")[1:]} == routed


@pytest.mark.parametrize("service", SETTINGS)
def test_the_settings_are_those_of_the_code(service: str) -> None:
    shared, text = describe(Settings), section(readme(service), "Settings")
    own = [row for row in describe(SETTINGS[service]) if row not in shared]
    if own:
        assert table(text, "variable")[1:] == [(f"`{name}`", default, meaning) for name, default, meaning in own]
    else:
        assert text.strip().startswith("Only those every process has"), "and no table"
        assert "|" not in text


@pytest.mark.parametrize("service", HANDLERS)
def test_the_messages_in_are_those_of_the_handlers(service: str) -> None:
    told = readme(service).split("**In:**")[1].split("**Out")[0]
    assert set(names(told)) == {kind.__name__ for kind in HANDLERS[service].types}


def test_every_service_has_a_readme_that_is_tested() -> None:
    assert {path.parent.name for path in Path(__file__).parents[2].glob("services/*/__init__.py")} == set(SETTINGS)


def test_orders_saga_is_the_one_that_runs() -> None:
    def row(step: Step, side: str) -> tuple[str, ...]:
        kinds = (step.ask, step.ok, step.refused, step.undo, step.undone)
        return (step.name, side, *(kind.__name__ if kind else "–" for kind in kinds))

    shown = [row(step, "before") for step in checkout.before] + [row(step, "after") for step in checkout.after]
    assert table(readme("orders"), "step")[1:] == shown


def test_orders_rules_are_those_that_the_engine_follows() -> None:
    head, *rows = table(readme("orders"), "step is")
    assert head == ("step is", *(incoming.value for incoming in Incoming))
    assert rows == [
        (status.value, *(RULES[status, incoming].name.lower().replace("_", " ") for incoming in Incoming))
        for status in Status
    ]


def test_orders_explains_every_status() -> None:
    rows = table(readme("orders"), "status of the order")[1:]
    assert {name.strip() for told, _ in rows for name in told.split(",")} == {status.value for status in OrderStatus}


def test_orders_messages_out_are_the_events_of_an_order() -> None:
    (told,) = [line for line in readme("orders").split("\n\n") if line.startswith("**Out**")]
    assert names(told) == [kind.__name__ for kind in EVENTS]


def test_payments_transfers_are_those_that_move_the_money() -> None:
    told = [(kind.__name__, *(transfer or ("–", "–"))) for kind, transfer in TRANSFERS.items()]
    assert table(readme("payments"), "event")[1:] == told


def test_payments_table_of_commands_is_the_one_that_decides() -> None:
    head, *rows = table(readme("payments"), "payment")
    assert head[1:] == tuple(command.__name__ for command in next(iter(MOVES.values())))
    assert rows == [(state.value, *(move.name.lower() for move in moves.values())) for state, moves in MOVES.items()]


def test_fulfillment_table_of_messages_is_the_one_that_decides() -> None:
    head, *rows = table(readme("fulfillment"), "goods")
    assert head[1:] == tuple(message.__name__ for message in MESSAGES)
    assert rows == [(status, *(cell.__name__.replace("_", " ") for cell in cells)) for status, cells in TABLE.items()]
