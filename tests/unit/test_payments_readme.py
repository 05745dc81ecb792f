"""The tables of the payments README say what the code does."""

from __future__ import annotations

from pathlib import Path

from sagashop.settings import Settings, describe
from services.payments import app, routes
from services.payments.domain import MOVES
from services.payments.handlers import make_handlers
from services.payments.ledger import TRANSFERS
from services.payments.settings import PaymentsSettings

README = Path(__file__).parents[2] / "services" / "payments" / "README.md"


def table(title: str) -> list[tuple[str, ...]]:
    """The rows of the table whose first column has this title."""
    lines = README.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {title} |")) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return rows


def test_the_table_of_transfers_is_the_one_that_moves_the_money() -> None:
    assert table("event") == [
        (kind.__name__, *(transfer or ("–", "–"))) for kind, transfer in TRANSFERS.items()
    ]  # fmt: skip


def test_the_table_of_commands_is_the_one_that_decides() -> None:
    assert table("payment") == [
        (state.value, *(move.name.lower() for move in moves.values())) for state, moves in MOVES.items()
    ]


def test_the_settings_are_those_of_the_code() -> None:
    own = [row for row in describe(PaymentsSettings) if row not in describe(Settings)]

    assert table("variable") == [(f"`{name}`", default, meaning) for name, default, meaning in own]


def test_the_endpoints_are_those_of_the_code(tmp_path: Path) -> None:
    made = app.create(PaymentsSettings(database_url=f"sqlite:///{tmp_path}/payments.db"))
    views = made.view_functions
    own = [rule for rule in made.url_map.iter_rules() if views[rule.endpoint].__module__ == routes.__name__]
    found = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in own
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {(method, path) for method, path, _ in table("method")} == found


def test_the_messages_in_are_those_of_the_handlers() -> None:
    text = README.read_text()
    (told,) = [line for line in text.splitlines() if line.startswith("**In:**")]

    assert {kind.__name__ for kind in make_handlers(PaymentsSettings().terms).types} == set(told.split("`")[1::2])
