"""The figures: each measured on a running stack, beside the floor of the same work."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import client
from bench.shopfloor import BUYERS, SETTINGS, Shopfloor
from deploy.local.ports import free_settings
from deploy.local.processes import Process, table
from deploy.local.stack import Stack
from sagashop.cli.context import table as printed

console = Console(stderr=True)
WORTH_TELLING_US = 10
TASKS_PER_S = 50.0


@dataclass(frozen=True)
class Row:
    """One figure. `floor` is the same work done bare in the same run; `ratio` says how near we are, 1 is the floor."""

    name: str
    value: float
    unit: str
    floor: float | None = None

    @property
    def ratio(self) -> float | None:
        if not self.floor or not self.value:
            return None
        return self.floor / self.value if self.unit == "ms" else self.value / self.floor

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "unit": self.unit, "floor": self.floor, "ratio": self.ratio}


def orders_http(shop: Shopfloor, echo_rate: float, seconds: float) -> Row:
    """Orders accepted per second, closed loop, while their sagas run."""
    requests = shop.orders(shop.cookies(BUYERS))
    client.closed_loop(shop.stack.url, requests, connections=32, seconds=2)
    result = client.closed_loop(shop.stack.url, requests, connections=32, seconds=seconds)
    _complain(result, 202)
    shop.settle()
    return Row("orders_http", round(result.rate(202), 1), "orders/s", round(echo_rate, 1))


def order_confirmed(shop: Shopfloor, rate: float, seconds: float, floor_ms: list[float]) -> list[Row]:
    """Milliseconds from the intended send time to the commit of OrderConfirmed, open loop at a fixed rate."""
    requests, start = shop.orders(shop.cookies(BUYERS)), shop.mark()
    result = client.open_loop(shop.stack.url, requests, rate=rate, seconds=seconds)
    _complain(result, 202)
    events = shop.wait_confirmed(start, result.statuses[202], 60)
    placed = [aggregate for _, kind, aggregate in events if kind == "OrderPlaced"]
    confirmed = {aggregate: int(entry.split("-")[0]) for entry, kind, aggregate in events if kind == "OrderConfirmed"}
    # Orders are matched to intended times by their place: two that overtake each other swap their latencies.
    took = sorted(confirmed[order] - (result.began_ms + number * 1000 / rate) for number, order in enumerate(placed))
    suffix = "" if rate == 200 else f"_at_{rate:g}"
    bare = sorted(floor_ms)
    return [
        Row(f"order_confirmed_{name}_ms{suffix}", round(_quantile(took, q), 1), "ms", round(_quantile(bare, q), 1))
        for name, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
    ]


def task_accepted(shop: Shopfloor, seconds: float, floor_ms: Sequence[float]) -> list[Row]:
    """Milliseconds from the intended send time of a request for a report to its 202, open loop at a fixed rate, while
    the worker makes the reports.
    """
    result = client.open_loop(shop.stack.url, shop.reports(), rate=TASKS_PER_S, seconds=seconds)
    _complain(result, 202)
    took, bare = sorted(result.latencies_ms), sorted(floor_ms)
    return [
        Row(f"task_accepted_{name}_ms", round(_quantile(took, q), 1), "ms", round(_quantile(bare, q), 1))
        for name, q in (("p50", 0.5), ("p99", 0.99))
    ]


def saga_drain(shop: Shopfloor, sagas: int, floor_rate: float) -> Row:
    """Sagas per second from a backlog: placed while the workers are paused, then counted as they are confirmed."""
    workers = ("orders", "payments", "fulfillment")
    shop.pause(workers)
    requests, start, placed = shop.orders(shop.cookies(BUYERS)), shop.mark(), 0
    while placed < sagas:
        result = client.closed_loop(shop.stack.url, requests, connections=32, seconds=5)
        _complain(result, 202)
        placed += result.statuses[202]
        console.print(f"  placed {placed} of {sagas}", highlight=False)
    begin_ms, before = time.time() * 1000, cpu_s(shop.stack)
    shop.resume(workers)
    events = shop.wait_confirmed(start, placed, 300)
    during = cpu_s(shop.stack)
    moved = [int(entry.split("-")[0]) for entry, kind, _ in events if kind != "OrderPlaced"]
    confirmed = [int(entry.split("-")[0]) for entry, kind, _ in events if kind == "OrderConfirmed"]
    console.print(f"  first answer {min(moved) - begin_ms:.0f} ms after resuming", highlight=False)
    shop.settle()
    all_read_s = time.time() - min(moved) / 1000
    console.print(f"  all readers done after {all_read_s:.1f} s, {placed / all_read_s:,.0f} sagas/s", highlight=False)
    _tell_cpu(before, during, cpu_s(shop.stack), placed)
    return Row("saga_drain", round(placed / (max(confirmed) - min(moved)) * 1000, 1), "sagas/s", round(floor_rate, 1))


def _tell_cpu(before: dict[str, float], during: dict[str, float], after: dict[str, float], sagas: int) -> None:
    """Which process spent how much on an order: until the last one was confirmed, and until all readers were done."""

    def per_saga(until: dict[str, float], name: str) -> int:
        return round((until[name] - before[name]) / sagas * 1e6)

    lines = [(name, per_saga(during, name), per_saga(after, name)) for name in after]
    lines = sorted((line for line in lines if line[2] >= WORTH_TELLING_US), key=lambda line: -line[2])
    lines.append(("together", sum(line[1] for line in lines), sum(line[2] for line in lines)))
    columns = ["process", "to confirm, µs #", "with all readers, µs #"]
    Console().print(printed("Processor time of an order", columns, lines))


def idle_pss_mb(stack: Stack) -> tuple[Row, list[tuple[str, float]]]:
    """Memory of the idle Python processes together, proportional set size; and that of every process for the table."""
    each = sorted(((row["name"], pss_mb(row["pid"])) for row in stack.ps()), key=lambda pair: -pair[1])
    servers = {"redis-ledger", "redis-session", "rabbitmq", "epmd", "nginx"}
    return Row("idle_pss_mb", round(sum(mb for name, mb in each if name not in servers), 1), "MB"), each


def family(pid: int) -> Iterator[int]:
    """A process and its children, and theirs."""
    pids = [pid]
    while pids:
        one = pids.pop()
        yield one
        children = Path(f"/proc/{one}/task/{one}/children")
        pids += [int(child) for child in children.read_text().split()] if children.exists() else []


def cpu_s(stack: Stack) -> dict[str, float]:
    """Processor time of every process so far, seconds."""
    tick = os.sysconf("SC_CLK_TCK")

    def used(pid: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    return {row["name"]: sum(map(used, family(row["pid"]))) / tick for row in stack.ps()}


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its children."""
    total = 0.0
    for one in family(pid):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
    return round(total, 1)


@contextmanager
def echo_stack(home: Path) -> Iterator[Stack]:
    """The same Nginx before bare Flask applications: the floor of a request."""

    def processes(env: Mapping[str, str]) -> list[Process]:
        wanted = [p for p in table(env) if p.name in {"redis-session", "nginx"} or p.name.startswith("orders-web")]
        return [_echo(p) if p.service else p for p in wanted]

    with Stack(home, free_settings() | SETTINGS, processes=processes) as stack:
        yield stack


def _echo(process: Process) -> Process:
    command = tuple("bench.floor:echo()" if part.startswith("services.") else part for part in process.command)
    return replace(process, command=command)


def echo_floor(home: Path, seconds: float) -> tuple[float, list[float]]:
    """What Nginx and bare Flask do: requests per second, closed loop; and the milliseconds of each at `TASKS_PER_S`."""
    with echo_stack(home) as stack:
        body, numbers = b'{"lines":[{"sku":"MUG-TERRA-01","quantity":1}]}', (str(n) for n in itertools.count())
        requests = client.requests_to(stack.url, "/api/orders", ["x=y"], body, numbers)
        client.closed_loop(stack.url, requests, connections=32, seconds=1)
        rate = client.closed_loop(stack.url, requests, connections=32, seconds=seconds).rate(202)
        return rate, client.open_loop(stack.url, requests, rate=TASKS_PER_S, seconds=seconds).latencies_ms


def _complain(result: client.Result, wanted: int) -> None:
    others = {status: count for status, count in result.statuses.items() if status != wanted}
    if others:
        console.print(f"  [yellow]answers other than {wanted}: {others}[/]")


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
