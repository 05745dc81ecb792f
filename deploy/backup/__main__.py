"""`python -m deploy.backup save|restore`: what `make backup` and `make restore` run."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import cast

import click

from deploy.backup.compose import ComposeSite
from deploy.backup.local import LocalSite
from deploy.backup.restoring import examine
from deploy.backup.restoring import restore as put_back
from deploy.backup.saving import save as take
from deploy.backup.site import Site
from deploy.chosen import chosen
from deploy.compose.stack import ComposeStack
from deploy.local.dotenv import REPO
from deploy.local.errors import StackError
from deploy.local.stack import Stack


def site() -> Site:
    """The stack that `make up` would start."""
    stack, _ = chosen()
    if isinstance(stack, ComposeStack):
        return ComposeSite(stack, REPO / ".local" / f"compose-{stack.name}")
    return LocalSite(cast(Stack, stack))


@click.group()
def main() -> None:
    """Copies of a stack's data."""


@main.command()
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=REPO / "backups", help="The folder.")
def save(to: Path) -> None:
    """Take a backup of the running stack, while orders flow."""
    began, here = time.monotonic(), site()
    click.echo("Taking a backup")
    made = take(here, to.absolute(), click.echo)
    size = sum(file.stat().st_size for file in made.iterdir())
    shown = os.path.relpath(made) if made.is_relative_to(Path.cwd()) else made
    click.echo(f"""\
{shown}: {size / 1e6:,.1f} MB in {time.monotonic() - began:.1f} s.
  It holds customers' data and is for your eyes only; it does not hold .env, so keep a copy of that elsewhere.
  Put it back with `make restore FROM={shown}`.""")


@main.command()
@click.argument("backup", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, envvar="YES", help="Do not ask.")
def restore(backup: Path, yes: bool) -> None:
    """Stop the stack, replace its data by a backup, start it again."""
    here = site()
    manifest = examine(here, backup)
    if not yes:
        asked = f"Replace all data of the stack by those of {manifest.begun_at[:19]} UTC? What came since is lost"
        click.confirm(asked, abort=True)
    put_back(here, backup, manifest, click.echo)
    click.echo(f"""\
The shop is as it was at {manifest.begun_at[:19]} UTC, and open: {here.url}/
  Now let it prove that all fits together: .venv/bin/sagashop audit --wait 60""")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what was begun is undone
    try:
        main(prog_name="python -m deploy.backup")
    except StackError as error:
        click.echo(f"sagashop: {error}", err=True)
        sys.exit(1)
