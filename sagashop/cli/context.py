"""What every command needs: where the shop is, who logs in, and how to print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from sagashop.cli.shop import Shop
from sagashop.dotenv import parse
from sagashop.errors import SagashopError

SERVICES = ("storefront", "orders", "payments", "fulfillment", "notifications", "analytics")
"""The services with an operator's corner at /admin/<service>."""


WIDE = 160
"""Columns of a table that goes into a pipe or a file."""


@dataclass(frozen=True)
class Context:
    url: str
    settings: Mapping[str, str]
    as_json: bool

    @classmethod
    def from_env_file(cls, url: str | None, env_file: str, *, as_json: bool) -> Context:
        """Settings from the file and, before it, the environment. A missing file matters only where one is needed."""
        path = Path(env_file)
        settings = {**(parse(path.read_text()) if path.is_file() else {}), **os.environ}
        scheme, port = ("https", "FRONT_TLS_PORT") if settings.get("TLS") == "on" else ("http", "FRONT_PORT")
        where = url or settings.get("PUBLIC_URL") or f"{scheme}://127.0.0.1:{settings.get(port, '8080')}"
        return cls(where.rstrip("/"), settings, as_json)

    def operator(self) -> Shop:
        """The shop, logged in as the operator."""
        return self._as("OPERATOR")

    def customer(self) -> Shop:
        """The shop, logged in as the demo customer."""
        return self._as("DEMO")

    def guest(self) -> Shop:
        return Shop(self.url)

    def _as(self, who: str) -> Shop:
        email, password = self.settings.get(f"{who}_EMAIL"), self.settings.get(f"{who}_PASSWORD")
        if not email or not password:
            raise SagashopError(
                f"{who}_EMAIL and {who}_PASSWORD are not set.\n"
                "  `make up` writes them into .env; name another file with --env-file."
            )
        return self.guest().log_in(email, password)

    def show(self, data: Any, *tables: Table) -> None:
        """One answer: as JSON if asked for, else as tables, an empty line between them."""
        if self.as_json:
            click.echo(json.dumps(data, indent=2))
            return
        console = Console(width=None if sys.stdout.isatty() else WIDE)
        for number, each in enumerate(tables):
            console.print(*([""] if number else []), each, sep="\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table whose number columns stand right; a column named `… #` holds numbers."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column.removesuffix(" #"), justify="right" if column.endswith(" #") else "left")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def euros(cents: int) -> str:
    """Cents for people: `1234` is `12.34`."""
    return f"{cents // 100}.{cents % 100:02d}"


context = click.make_pass_decorator(Context)
