"""`sagashop audit`: is every order settled, every piece on its shelf, every cent on its account?"""

from __future__ import annotations

import json
import sys
import threading

import click
from rich.console import Console

from sagashop.audit.auditor import Auditor, Report, as_data
from sagashop.cli.context import WIDE, Context, context, table
from sagashop.cli.shop import Shop

READ_TIMEOUT_S = 60.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--wait", "wait_s", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="First wait up to so many seconds until nothing is under way.")  # fmt: skip
@click.option("--allow-dead-letters", "allowed", type=click.IntRange(min=0), default=0, show_default=True,
              help="So many dead letters are no fault.")  # fmt: skip
@click.option("--allow-failed", type=click.IntRange(min=0), default=0, show_default=True,
              help="So many failed tasks, and so many failed jobs, are no fault.")  # fmt: skip
@context
def audit(ctx: Context, as_json: bool, wait_s: float, allowed: int, allow_failed: int) -> None:
    """Examine the whole shop: nothing lost, doubled or left over. Status 1 where a check does not hold."""
    auditor = Auditor(FrontDoor(ctx.operator()))
    if wait_s and not auditor.wait_until_quiet(wait_s):
        click.echo(f"sagashop: after {wait_s:g} s there is still work under way; the report says which.", err=True)
    report = auditor.report(allowed, allow_failed)
    if as_json or ctx.as_json:
        click.echo(json.dumps(as_data(report), indent=2))
    else:
        _show(report)
    sys.exit(0 if report.ok else 1)


class FrontDoor:
    """Asks the shop as this operator, from any thread: a visitor is for one thread, so each gets one of its own."""

    def __init__(self, operator: Shop) -> None:
        self._operator, self._own = operator, threading.local()

    def __call__(self, path: str) -> bytes:
        shop: Shop | None = getattr(self._own, "shop", None)
        if shop is None:
            shop = self._own.shop = Shop(self._operator.url)
            shop.session.cookies.update(self._operator.session.cookies)
        return shop.body(path, read_timeout_s=READ_TIMEOUT_S)


def _show(report: Report) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    rows = [
        ("ok" if not check.wrong else "[red]WRONG[/]", check.house, check.name, check.looked_at, check.wrong)
        for check in report.checks
    ]
    console.print(table("Audit", ["", "house", "what must hold", "looked at #", "wrong #"], rows))
    for check in report.wrong:
        console.print(f"\n[red]WRONG[/] {check.house}: {check.name}", highlight=False)
        for example in check.examples:
            console.print(f"  {example}", highlight=False, markup=False)
        if check.wrong > len(check.examples):
            console.print(f"  … and {check.wrong - len(check.examples)} more")
    orders = ", ".join(f"{count} {status}" for status, count in sorted(report.statuses.items())) or "none"
    console.print(f"\nOrders: {orders}. {len(report.checks)} checks in {report.took_s} s: "
                  + ("everything holds." if report.ok else f"{len(report.wrong)} do not hold."))  # fmt: skip
