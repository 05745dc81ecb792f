"""`python -m deploy --help`: up, down, ps, logs, restart, scale, reset … What the targets of the Makefile run."""

from __future__ import annotations

import sys
import time

import click
from rich.console import Console

from deploy import databases
from deploy.chosen import chosen
from deploy.compose.stack import ComposeStack
from deploy.deployment import Deployment
from deploy.local import dotenv, packages
from deploy.local.errors import StackError
from deploy.local.processes import MAX_ORDERS_REPLICAS

console = Console(highlight=False)


@click.group()
def main() -> None:
    """Sagashop: as containers where a Docker engine answers, else as processes of this machine."""


@main.command()
@click.option("--wait", "wait_s", type=float, envvar="WAIT_S", help="Seconds until everything must be ready.")
def up(wait_s: float | None) -> None:
    """Start what does not run, and wait until everything is ready."""
    stack, remark = chosen()
    if remark:
        console.print(remark)
    if isinstance(stack, ComposeStack):
        stack.build()
    else:
        packages.ensure()
    began = time.monotonic()
    with console.status("Starting ...") as status:
        stack.up(wait_s or stack.patience_s, lambda ready, waiting: status.update(_progress(ready, waiting)))
    _welcome(stack, time.monotonic() - began)


def _progress(ready: int, waiting: list[str]) -> str:
    more = f" and {len(waiting) - 4} more" if len(waiting) > 4 else ""
    return f"{ready} of {ready + len(waiting)} ready, waiting for {', '.join(waiting[:4])}{more}"


def _welcome(stack: Deployment, took_s: float) -> None:
    env, what = stack.env, "containers" if stack.mode == "compose" else "processes"
    click.echo(f"""\
Sagashop is up ({len(stack.ps())} {what}, {took_s:.1f} s).

  Shop      {stack.url}/
  API docs  {stack.url}/docs/orders/  (and storefront, payments, fulfillment, notifications, analytics, chat)
  Customer  {env["DEMO_EMAIL"]}  {env["DEMO_PASSWORD"]}
  Operator  {env["OPERATOR_EMAIL"]}  {env["OPERATOR_PASSWORD"]}

Next
  make ps                             what runs, where, and whether it is ready
  make logs s=orders                  what it does
  {stack.breaking:<35} an orders replica: order something meanwhile, nothing is lost
  .venv/bin/sagashop --help           orders, sagas, streams and dead letters from the shell
  make down                           stop it; the data stays
""")


@main.command()
def down() -> None:
    """Stop everything. The data stays."""
    ran = chosen()[0].down()
    console.print(
        "Sagashop is down. Its data stays in place; `make up` goes on with it." if ran else "Nothing was running."
    )


@main.command()
def ps() -> None:
    """List the processes or containers: state, whether it is ready, pid, port, for how long."""
    rows = chosen()[0].ps()
    for row in rows:
        state = click.style(f"{row['state']:<9}", fg="green" if row["ready"] else "red")
        about = str(row["description"]).partition(", ")[2] or row["description"]
        ready, port = "ready" if row["ready"] else "", f":{row['port']}" if row["port"] else ""
        click.echo(f"{row['name']:<22} {state} {ready:<6} {row['pid'] or '-':>7} {port:<7} {about}".rstrip())
    if not any(row["pid"] for row in rows):
        console.print("Nothing runs. Start it with `make up`.")


@main.command()
@click.argument("name", default="")
@click.option("--follow/--no-follow", default=None, help="Go on as it grows (default: in a terminal).")
def logs(name: str, follow: bool | None) -> None:
    """Show the end of the logs of a process or service, or of all."""
    stack = chosen()[0]
    names = stack.matching(name) if name else [row["name"] for row in stack.ps()]
    stack.show_logs(names, lines=50 if name else 5, follow=sys.stdout.isatty() if follow is None else follow)


@main.command()
@click.argument("name")
def restart(name: str) -> None:
    """Restart a process, or the processes of a service, one after the other."""
    stack = chosen()[0]
    for each in stack.matching(name):
        stack.restart(each)
        console.print(f"{each} is ready again, pid {stack.pid(each)}.")


@main.command()
@click.argument("service")
@click.argument("replicas", type=click.IntRange(1, MAX_ORDERS_REPLICAS))
def scale(service: str, replicas: int) -> None:
    """Change how many replicas of the orders API there are, without losing a request. The number goes into .env."""
    if service != "orders":
        raise StackError(f"{service} has no replicas; orders has: `make scale s=orders n=3`.")
    stack = chosen()[0]
    if not stack.runs:
        raise StackError("the stack does not run. Start it with `make up`, then scale.")
    stack.scale(replicas)
    dotenv.change(stack.env_file, "ORDERS_REPLICAS", str(replicas))
    console.print(f"{', '.join(stack.matching('orders-web'))} run. `make up` keeps it so (ORDERS_REPLICAS in .env).")


@main.command()
@click.option("--yes", is_flag=True, envvar="YES", help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop everything and delete the data: orders, accounts, customers, logs. The settings in .env stay."""
    stack = chosen()[0]
    if not yes:
        click.confirm(f"Delete {stack.data}?", abort=True)
    stack.destroy()
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
    for statement in databases.statements(chosen()[0].env):
        click.echo(f"{statement};")


if __name__ == "__main__":
    try:
        main(prog_name="python -m deploy")
    except StackError as error:
        click.echo(f"sagashop: {error}", err=True)
        sys.exit(1)
