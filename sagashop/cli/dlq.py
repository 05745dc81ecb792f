"""`sagashop dlq`: dead letters of all services, listed, shown, mended, replayed, discarded (F14)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from sagashop.cli.context import SERVICES, Context, context, table
from sagashop.cli.shop import Refused, Shop

Letter = dict[str, Any]
service_option = click.option("--service", type=click.Choice(SERVICES), help="Only this service's dead letters.")


@click.group()
def dlq() -> None:
    """Look after dead letters, as the operator."""


@dlq.command("list")
@service_option
@context
def list_(ctx: Context, service: str | None) -> None:
    """Dead letters, oldest first."""
    letters = list(_letters(ctx.operator(), service))
    rows = ((x["service"], x["id"], x["fields"].get("type", "?"), x["attempts"], _age(x), x["reason"]) for x in letters)
    columns = ["service", "id", "type", "attempts #", "since", "reason"]
    ctx.show(letters, table(f"{len(letters)} dead letters", columns, rows))


@dlq.command()
@click.argument("service", type=click.Choice(SERVICES))
@click.argument("letter_id")
@context
def show(ctx: Context, service: str, letter_id: str) -> None:
    """One dead letter with its fields and traceback."""
    letter = ctx.operator().get(f"/admin/{service}/dead-letters/{letter_id}")
    rows = [*letter["fields"].items(), ("", ""), *((k, v) for k, v in letter.items() if k != "fields")]
    ctx.show(letter, table(f"Dead letter {letter_id} of {service}", ["field", "value"], rows))


@dlq.command()
@click.argument("letter_id", required=False)
@service_option
@click.option(
    "--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field of this letter before the replay."
)
@click.option(
    "--batch-size", type=click.IntRange(1, 1000), default=100, show_default=True, help="Letters in one round."
)
@click.option("--max-retries", type=click.IntRange(1), default=3, show_default=True, help="Rounds for what dies again.")
@click.option("--continuous", is_flag=True, help="Go on and replay what dies from now on, until interrupted.")
@click.option("--interval", type=float, default=5.0, show_default=True, help="Seconds between rounds.")
@context
def replay(ctx: Context, letter_id: str | None, service: str | None, changes: tuple[str, ...], batch_size: int,
           max_retries: int, continuous: bool, interval: float) -> None:  # fmt: skip
    """Hand dead letters to their service again: one by its id, or all (of a service).

    A letter that dies again counts as the same message by its message id, and is left alone after --max-retries.
    """
    shop = ctx.operator()
    wanted = dict(change.split("=", 1) for change in changes if "=" in change)
    if len(wanted) != len(changes):
        raise click.BadParameter("--set takes FIELD=VALUE")
    if letter_id:
        _replay_one(shop, service or _owner(shop, letter_id), letter_id, wanted)
        click.echo(f"replayed {letter_id}")
        return
    if wanted:
        raise click.UsageError("--set changes one letter: name its id")
    tries: dict[str, int] = {}
    while True:
        sent = _replay_round(shop, service, batch_size, max_retries, tries)
        if sent or not continuous:
            click.echo(f"replayed {sent}")
        if not sent and not continuous:
            return
        time.sleep(interval)


@dlq.command()
@click.argument("letter_id")
@service_option
@click.confirmation_option(prompt="The message is lost for good. Discard it?")
@context
def discard(ctx: Context, letter_id: str, service: str | None) -> None:
    """Drop a dead letter for good."""
    shop = ctx.operator()
    shop.delete(f"/admin/{service or _owner(shop, letter_id)}/dead-letters/{letter_id}")
    click.echo(f"discarded {letter_id}")


def _letters(shop: Shop, service: str | None) -> Iterator[Letter]:
    for name in [service] if service else SERVICES:
        after = None
        while page := shop.get(f"/admin/{name}/dead-letters", after=after, limit=100)["items"]:
            yield from ({"service": name, **letter} for letter in page)
            after = page[-1]["id"]


def _replay_round(shop: Shop, service: str | None, batch_size: int, max_retries: int, tries: dict[str, int]) -> int:
    sent = 0
    for letter in list(_letters(shop, service)):
        message = letter["fields"].get("id") or letter["id"]
        if sent < batch_size and tries.get(message, 0) < max_retries:
            tries[message] = tries.get(message, 0) + 1
            sent += _replay_one(shop, letter["service"], letter["id"], {})
    return sent


def _replay_one(shop: Shop, service: str, letter_id: str, changes: dict[str, str]) -> bool:
    try:
        shop.post(f"/admin/{service}/dead-letters/{letter_id}/replay", {"changes": changes})
    except Refused as refused:
        if refused.status == 404 and not changes:
            return False  # somebody else was faster
        raise
    return True


def _owner(shop: Shop, letter_id: str) -> str:
    found = [letter["service"] for letter in _letters(shop, None) if letter["id"] == letter_id]
    if len(found) != 1:
        raise click.BadParameter(f"{len(found)} services have a dead letter {letter_id}; name one with --service")
    return str(found[0])


def _age(letter: Letter) -> str:
    return datetime.fromtimestamp(letter["time_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
