"""`sagashop jobs`: how many jobs wait, one by its id, and the failed ones, tried again or discarded (F31)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from sagashop.cli.context import Context, context, table
from sagashop.cli.shop import Refused

WITH_JOBS = ("notifications",)
"""The services with a job queue."""
service_option = click.option(
    "--service", type=click.Choice(WITH_JOBS), default=WITH_JOBS[0], show_default=True, help="Whose queue."
)
PAGE = 100


@click.group()
def jobs() -> None:
    """Look after job queues, as the operator."""


@jobs.command("list")
@context
def list_(ctx: Context) -> None:
    """Every queue: how many jobs are where."""
    shop = ctx.operator()
    found = [{"service": name, **shop.get(f"/admin/{name}/jobs")} for name in WITH_JOBS]
    columns = ["service", "high #", "normal #", "low #", "delayed #", "processing #", "failed #", "workers"]
    rows = (
        (q["service"], *q["waiting"].values(), q["delayed"], q["processing"], q["failed"], ", ".join(q["workers"]))
        for q in found
    )
    ctx.show(found, table("Jobs", columns, rows))


@jobs.command()
@click.argument("job_id")
@service_option
@context
def show(ctx: Context, service: str, job_id: str) -> None:
    """The status of one job."""
    job = ctx.operator().get(f"/admin/{service}/jobs/{quote(job_id)}")
    rows = ((name, _time(value) if name.endswith("_ms") else value) for name, value in job.items())
    ctx.show(job, table(f"Job {job_id}", ["field", "value"], rows))


@jobs.command()
@service_option
@context
def failed(ctx: Context, service: str) -> None:
    """The jobs that were given up, oldest first; 100 at most."""
    found = ctx.operator().get(f"/admin/{service}/failed-jobs", limit=PAGE)
    rows = ((x["id"], x["kind"], x["attempts"], _time(x["ended_ms"]), x["error"]) for x in found["items"])
    ctx.show(found, table(f"{found['total']} failed jobs", ["id", "kind", "attempts #", "since", "error"], rows))


@jobs.command()
@click.argument("job_id", required=False)
@service_option
@context
def retry(ctx: Context, service: str, job_id: str | None) -> None:
    """Queue a failed job again, or all that are failed now."""
    shop, done = ctx.operator(), 0
    ids = [job_id] if job_id else _all_failed(shop, service)
    for each in ids:
        try:
            shop.post(f"/admin/{service}/failed-jobs/{quote(each)}/retry")
            done += 1
        except Refused as refused:
            if refused.status != 404 or job_id:
                raise  # else somebody was faster
    click.echo(f"retried {done}")


@jobs.command()
@click.argument("job_id")
@service_option
@click.confirmation_option(prompt="The job is lost for good. Discard it?")
@context
def discard(ctx: Context, service: str, job_id: str) -> None:
    """Drop a failed job for good."""
    ctx.operator().delete(f"/admin/{service}/failed-jobs/{quote(job_id)}")
    click.echo(f"discarded {job_id}")


def _all_failed(shop: Any, service: str) -> list[str]:
    ids: list[str] = []
    while page := shop.get(f"/admin/{service}/failed-jobs", offset=len(ids), limit=PAGE)["items"]:
        ids += [job["id"] for job in page]
    return ids


def _time(time_ms: int | None) -> str:
    return "" if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
