"""`python -m bench`: starts a stack of its own, measures it beside the floors, and prints one table."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from bench import floor, phones
from bench.figures import Row, console, echo_floor, idle_pss_mb, order_confirmed, orders_http, saga_drain, task_accepted
from bench.jobs import jobs_list
from bench.rabbit_drain import saga_drain_rabbitmq
from bench.shopfloor import SETTINGS, Shopfloor
from bench.tasks import tasks
from deploy.local.ports import free_settings
from deploy.local.stack import Stack
from sagashop import log as logs
from sagashop.cli.context import table as printed

HOPS_TO_CONFIRM = 5


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    return {
        "processor": f"{os.cpu_count()} × {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "redis": _version("redis-server", "--version"),
        "nginx": _version("nginx", "-v"),
        "rabbitmq": _package("rabbitmq-server"),
    }


def _package(name: str) -> str:
    done = _version("dpkg-query", "--show", "--showformat", "${Package} ${Version}", name)
    return done if done.startswith(name) else ""


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    return (done.stdout + done.stderr).strip().split("\n")[0]


@click.command()
@click.option("--quick", is_flag=True, help="Short runs, to see whether it works; the figures mean little.")
@click.option("--only", multiple=True, help="Only these: http, latency, drain, rabbit, jobs, tasks, phones, idle.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(".local/bench.json"), show_default=True)
def main(quick: bool, only: tuple[str, ...], out: Path) -> None:
    """Measure the shop beside the floors of this machine. Takes about ten minutes."""
    logs.configure("bench", "warning", "console")
    wanted = set(only) or {"http", "latency", "drain", "rabbit", "jobs", "tasks", "phones", "idle"}
    seconds, sagas = (3.0, 2000) if quick else (20.0, 20_000)
    rows: list[Row] = []
    home = Path(tempfile.mkdtemp(prefix="sagashop-bench-"))
    try:
        rows = _measure(home, wanted, seconds, sagas, quick=quick)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    about = machine()
    lines = [(r.name, r.value, r.unit, r.floor, None if r.ratio is None else f"{r.ratio:.2f}") for r in rows]
    title = ", ".join(about.values())
    Console().print(printed(title, ["figure", "value #", "unit", "floor #", "ratio #"], lines))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
    console.print(f"written to {out}")


def _measure(home: Path, wanted: set[str], seconds: float, sagas: int, *, quick: bool) -> list[Row]:
    rows: list[Row] = []
    echo, echo_ms = 0.0, list[float]()
    if wanted & {"http", "tasks"}:
        console.print("floor of a request: bare Flask behind the same Nginx")
        echo, echo_ms = echo_floor(home / "echo", seconds / 2)
    with Stack(home / "shop", free_settings() | SETTINGS) as stack:
        shop = Shopfloor(stack)
        if "idle" in wanted:
            rows += _idle(stack)
        if "latency" in wanted:
            console.print("order to confirmed, open loop")
            singles = floor.one_by_one(stack.addresses["REDIS_LEDGER_URL"], 300, HOPS_TO_CONFIRM)
            console.print(
                f"  floor of {HOPS_TO_CONFIRM} hops alone: {statistics.median(singles):.1f} ms", highlight=False
            )
            for rate in (50.0, 200.0):
                rows += order_confirmed(shop, rate, seconds, singles)
        if "http" in wanted:
            console.print("orders through Nginx, closed loop")
            rows.append(orders_http(shop, echo, seconds))
        if "drain" in wanted:
            console.print(f"backlog of {sagas} orders")
            bare = floor.drain(stack.addresses["REDIS_LEDGER_URL"], sagas)
            rows.append(saga_drain(shop, sagas, bare))
        if "jobs" in wanted:
            console.print(f"{sagas} jobs on the list queue")
            rows.append(jobs_list(stack.addresses["REDIS_LEDGER_URL"], sagas))
        if "tasks" in wanted:
            console.print("reports asked for through Nginx, open loop")
            rows += task_accepted(shop, seconds, echo_ms)
            console.print(f"{sagas // 4} tasks over RabbitMQ")
            rows.append(tasks(stack.addresses["REDIS_LEDGER_URL"], stack.addresses["RABBITMQ_URL"], sagas // 4))
        if "phones" in wanted:
            rows += phones.rows(stack, quick=quick)
    if "rabbit" in wanted:
        console.print(f"backlog of {sagas // 4} orders, with RabbitMQ as the bus")
        rows.append(saga_drain_rabbitmq(home / "rabbit", sagas // 4))
    return rows


def _idle(stack: Stack) -> list[Row]:
    console.print("memory at rest, warm start")
    time.sleep(3)
    memory, each = idle_pss_mb(stack)
    Console().print(printed("Memory at rest", ["process", "PSS MB #"], each))
    stack.down()
    started = time.monotonic()
    stack.up()
    return [memory, Row("warm_up_s", round(time.monotonic() - started, 1), "s")]


if __name__ == "__main__":
    sys.exit(main())
