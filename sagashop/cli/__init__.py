"""The `sagashop` command: everything it does goes through the front door, as a customer or as the operator."""

from __future__ import annotations

import click

from sagashop.cli import audit, dlq, jobs, orders, phones, rabbit, replay, sagas, simulate, streams
from sagashop.cli.context import Context
from sagashop.errors import SagashopError


class Main(click.Group):
    """Errors of ours end in one clear line and status 1, not in a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SagashopError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="SAGASHOP_URL", help="Where the shop is; by default what .env says.")
@click.option("--env-file", envvar="SAGASHOP_ENV", default=".env", show_default=True, help="Settings of the stack.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one document or one line each, instead of tables.")
@click.pass_context
def main(ctx: click.Context, url: str | None, env_file: str, as_json: bool) -> None:
    """Sagashop from the command line: order, watch sagas, inspect streams, replay dead letters, make traffic."""
    ctx.obj = Context.from_env_file(url, env_file, as_json=as_json)


for command in (
    *(orders.orders, sagas.sagas, streams.streams, rabbit.rabbit, dlq.dlq, jobs.jobs),
    *(phones.phones, simulate.simulate, replay.replay, audit.audit),
):
    main.add_command(command)
