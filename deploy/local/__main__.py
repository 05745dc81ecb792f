"""`python -m deploy.local up|down|ps|logs|restart|reset|servers|databases`: what the targets of the Makefile run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from deploy import databases
from deploy.local import dotenv, engine, packages
from deploy.local.errors import StackError
from deploy.local.stack import Stack

console = Console(highlight=False)


def stack() -> Stack:
    """The stack that the environment names: SAGASHOP_HOME, SAGASHOP_ENV, and every setting that .env.example knows."""
    home = Path(os.environ.get("SAGASHOP_HOME") or dotenv.REPO / ".local")
    env_file = Path(os.environ.get("SAGASHOP_ENV") or dotenv.REPO / ".env")
    known = dotenv.settings(env_file, os.environ)
    return Stack(home, known, env_file=env_file)


@click.group()
def main() -> None:
    """Sagashop on this machine, without Docker."""


@main.command()
@click.option("--wait", "wait_s", default=90.0, envvar="WAIT_S", help="Seconds until everything must be ready.")
def up(wait_s: float) -> None:
    """Start what does not run, and wait until everything is ready."""
    local = stack()
    mode, remark = engine.choose(local.env["MODE"])
    if remark:
        console.print(remark)
    if mode == "compose":
        sys.exit(subprocess.run(["docker", "compose", "up", "-d", "--wait"], cwd=dotenv.REPO, check=False).returncode)
    packages.ensure()
    began = time.monotonic()
    with console.status("Starting ...") as status:
        local.up(wait_s, lambda ready, waiting: status.update(_progress(ready, waiting)))
    _welcome(local, time.monotonic() - began)


def _progress(ready: int, waiting: list[str]) -> str:
    more = f" and {len(waiting) - 4} more" if len(waiting) > 4 else ""
    return f"{ready} of {ready + len(waiting)} ready, waiting for {', '.join(waiting[:4])}{more}"


def _welcome(local: Stack, took_s: float) -> None:
    env = local.env
    click.echo(f"""\
Sagashop is up ({len(local.processes)} processes, {took_s:.1f} s).

  Shop      {local.url}/
  API docs  {local.url}/docs/orders/  (and storefront, payments, fulfillment, notifications, analytics, chat)
  Customer  {env["DEMO_EMAIL"]}  {env["DEMO_PASSWORD"]}
  Operator  {env["OPERATOR_EMAIL"]}  {env["OPERATOR_PASSWORD"]}

Next
  make ps                        what runs, where, and whether it is ready
  make logs s=orders             what it does
  kill -9 {local.pid("orders-web-1"):<9}              an orders replica: order something meanwhile, nothing is lost
  .venv/bin/sagashop --help      orders, sagas, streams and dead letters from the shell
  make down                      stop it; the data stays
""")


@main.command()
def down() -> None:
    """Stop everything. The data stays."""
    ran = stack().down()
    console.print(
        "Sagashop is down. Its data stays in place; `make up` goes on with it." if ran else "Nothing was running."
    )


@main.command()
def ps() -> None:
    """List the processes: state, whether it is ready, pid, port, for how long."""
    rows = stack().ps()
    for row in rows:
        state = click.style(f"{row['state']:<9}", fg="green" if row["ready"] else "red")
        about = str(row["description"]).partition(", ")[2] or row["description"]
        ready = "ready" if row["ready"] else ""
        click.echo(f"{row['name']:<22} {state} {ready:<6} {row['pid'] or '-':>7} :{row['port']:<6} {about}".rstrip())
    if not any(row["pid"] for row in rows):
        console.print("Nothing runs. Start it with `make up`.")


@main.command()
@click.argument("name", default="")
@click.option("--follow/--no-follow", default=None, help="Go on as it grows (default: in a terminal).")
def logs(name: str, follow: bool | None) -> None:
    """Show the end of the logs of a process or service, or of all."""
    local = stack()
    names = local.matching(name) if name else [process.name for process in local.processes]
    files = [str(local.layout.log(each)) for each in names if local.layout.log(each).exists()]
    if not files:
        raise StackError("there are no logs yet. Start the stack with `make up`.")
    following = sys.stdout.isatty() if follow is None else follow
    tail = shutil.which("tail") or "tail"
    options = ["-n", "50" if name else "5", *(["-F"] if following else [])]
    os.execv(tail, [tail, *options, *files])  # noqa: S606


@main.command()
@click.argument("name")
def restart(name: str) -> None:
    """Restart a process, or the processes of a service, one after the other."""
    local = stack()
    for each in local.matching(name):
        local.restart(each)
        console.print(f"{each} is ready again, pid {local.pid(each)}.")


@main.command()
@click.option("--yes", is_flag=True, envvar="YES", help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop everything and delete the data: orders, accounts, customers, logs. The settings in .env stay."""
    local = stack()
    home = local.layout.home
    if not yes:
        click.confirm(f"Delete everything in {home}?", abort=True)
    local.down()
    shutil.rmtree(home)
    console.print("Deleted. `make up` starts from nothing.")


@main.command()
@click.option("--for-tests", is_flag=True, help="Chromium and MariaDB too, which only the tests need.")
def servers(for_tests: bool) -> None:
    """Install the distribution's Redis, RabbitMQ and Nginx where they are missing."""
    new = packages.ensure(packages.NEEDED | (packages.FOR_TESTS if for_tests else {}))
    console.print(f"Installed {', '.join(new)}." if new else "Redis, RabbitMQ and Nginx are installed.")


@main.command("databases")
def print_databases() -> None:
    """Print the SQL that makes a database and a user for each service: `… databases | mysql -u root -p`."""
    for statement in databases.statements(stack().env):
        click.echo(f"{statement};")


if __name__ == "__main__":
    try:
        main(prog_name="python -m deploy.local")
    except StackError as error:
        click.echo(f"sagashop: {error}", err=True)
        sys.exit(1)
