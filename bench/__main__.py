"""`python -m bench`: starts a stack of its own, measures it beside the floors, and prints one table."""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import redis
from rich.console import Console

from bench import client, floor
from deploy.local.ports import free_settings
from deploy.local.processes import Process, table
from deploy.local.stack import Stack
from sagashop import keys
from sagashop.cli.context import table as printed
from sagashop.cli.shop import Shop
from sagashop.cli.traffic import products
from sagashop.messages import new_id

console = Console(stderr=True)
SETTINGS = {
    "STOCK_TIMEOUT_S": "600",
    "PAYMENT_TIMEOUT_S": "600",
    "CAPTURE_TIMEOUT_S": "600",
    "SHIPMENT_TIMEOUT_S": "600",
    "VISIBILITY_S": "60",
    "OPENING_STOCK": "100000000",
    "WELCOME_CREDIT_CENTS": "100000000000",
    "RATE_GENERAL": "1000000r/s",
    "RATE_LOGIN": "1000000r/s",
    "RATE_SIGNUP": "1000000r/s",
}
"""Nothing may run out, nothing may time out, and nobody is slowed down: what is left is the work itself."""
BUYERS = 50
HOPS_TO_CONFIRM = 5


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


class Shopfloor:
    """A running stack, with buyers who are logged in and the ledger to look at."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.ledger = redis.Redis.from_url(stack.addresses["REDIS_LEDGER_URL"], decode_responses=True)
        self.sku = str(products(stack.url)[0]["sku"])

    def cookies(self, count: int) -> list[str]:
        """Sessions of new customers, as Cookie headers."""
        return [_cookie(self.stack.url) for _ in range(count)]

    def orders(self, cookies: list[str]) -> Iterator[bytes]:
        """POST /api/orders of one piece, each with a key of its own."""
        body = json.dumps({"lines": [{"sku": self.sku, "quantity": 1}]}).encode()
        numbers = (f"{new_id()}-{number}" for number in itertools.count())
        return client.requests_to(self.stack.url, "/api/orders", cookies, body, numbers)

    def events_after(self, start: str) -> list[tuple[str, str, str]]:
        """(entry id, type, aggregate) of everything on orders.events after this id."""
        found: list[tuple[str, str, str]] = []
        while True:
            page: Any = self.ledger.xrange(keys.stream("orders.events"), min=f"({start}", count=5000)
            if not page:
                return found
            found += [(entry, fields["type"], fields["aggregate"]) for entry, fields in page]
            start = page[-1][0]

    def mark(self) -> str:
        """The newest entry of orders.events."""
        newest: Any = self.ledger.xrevrange(keys.stream("orders.events"), count=1)
        return str(newest[0][0]) if newest else "0-0"

    def wait_confirmed(self, start: str, orders: int, within_s: float) -> list[tuple[str, str, str]]:
        """Events after `start` once so many orders are confirmed. Asks three times a second for what is new."""
        deadline, confirmed, seen = time.monotonic() + within_s, 0, list[tuple[str, str, str]]()
        while confirmed < orders and time.monotonic() < deadline:
            time.sleep(0.3)
            fresh = self.events_after(seen[-1][0] if seen else start)
            seen += fresh
            confirmed += sum(kind == "OrderConfirmed" for _, kind, _ in fresh)
        if confirmed < orders:
            raise click.ClickException(f"only {confirmed} of {orders} orders were confirmed within {within_s:g} s")
        return seen

    def settle(self, within_s: float = 180) -> None:
        """Wait until nobody has anything to read or to finish."""
        deadline = time.monotonic() + within_s
        while self._busy() and time.monotonic() < deadline:
            time.sleep(0.3)

    def _busy(self) -> bool:
        for channel in (
            "orders.events",
            "fulfillment.commands",
            "fulfillment.events",
            "payments.commands",
            "payments.events",
        ):
            for group in self.ledger.xinfo_groups(keys.stream(channel)):
                if group["pending"] or group["lag"]:
                    return True
        return False

    def pause(self, services: Sequence[str]) -> None:
        for service in services:
            self.ledger.set(keys.paused(service), "bench")
        time.sleep(2.5)

    def resume(self, services: Sequence[str]) -> None:
        self.ledger.delete(*[keys.paused(service) for service in services])


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
    begin_ms = time.time() * 1000
    shop.resume(workers)
    events = shop.wait_confirmed(start, placed, 300)
    moved = [int(entry.split("-")[0]) for entry, kind, _ in events if kind != "OrderPlaced"]
    confirmed = [int(entry.split("-")[0]) for entry, kind, _ in events if kind == "OrderConfirmed"]
    console.print(f"  first answer {min(moved) - begin_ms:.0f} ms after resuming", highlight=False)
    shop.settle()
    return Row("saga_drain", round(placed / (max(confirmed) - min(moved)) * 1000, 1), "sagas/s", round(floor_rate, 1))


def idle_pss_mb(stack: Stack) -> tuple[Row, list[tuple[str, float]]]:
    """Memory of the idle Python processes together, proportional set size; and that of every process for the table."""
    each = sorted(((row["name"], _pss_mb(row["pid"])) for row in stack.ps()), key=lambda pair: -pair[1])
    servers = {"redis-ledger", "redis-session", "rabbitmq", "epmd", "nginx"}
    return Row("idle_pss_mb", round(sum(mb for name, mb in each if name not in servers), 1), "MB"), each


def _pss_mb(pid: int) -> float:
    pids, total = [pid], 0.0
    while pids:
        one = pids.pop()
        children = Path(f"/proc/{one}/task/{one}/children")
        pids += [int(child) for child in children.read_text().split()] if children.exists() else []
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


def echo_rate(home: Path, seconds: float) -> float:
    """Requests per second that Nginx and bare Flask take, closed loop."""
    with echo_stack(home) as stack:
        body, numbers = b'{"lines":[{"sku":"MUG-TERRA-01","quantity":1}]}', (str(n) for n in itertools.count())
        requests = client.requests_to(stack.url, "/api/orders", ["x=y"], body, numbers)
        client.closed_loop(stack.url, requests, connections=32, seconds=1)
        return client.closed_loop(stack.url, requests, connections=32, seconds=seconds).rate(202)


def _cookie(url: str) -> str:
    shop = Shop(url)
    body = {"name": "Bench Customer", "email": f"{new_id()}@sagashop.example", "password": new_id()}
    shop.post("/api/customers", body)
    return "; ".join(f"{name}={value}" for name, value in shop.session.cookies.get_dict().items())


def _complain(result: client.Result, wanted: int) -> None:
    others = {status: count for status, count in result.statuses.items() if status != wanted}
    if others:
        console.print(f"  [yellow]answers other than {wanted}: {others}[/]")


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


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
    }


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    return (done.stdout + done.stderr).strip().split("\n")[0]


@click.command()
@click.option("--quick", is_flag=True, help="Short runs, to see whether it works; the figures mean little.")
@click.option("--only", multiple=True, help="Only these: http, latency, drain, idle.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(".local/bench.json"), show_default=True)
def main(quick: bool, only: tuple[str, ...], out: Path) -> None:
    """Measure the shop beside the floors of this machine. Takes about four minutes."""
    wanted = set(only) or {"http", "latency", "drain", "idle"}
    seconds, sagas = (3.0, 2000) if quick else (20.0, 20_000)
    rows: list[Row] = []
    home = Path(tempfile.mkdtemp(prefix="sagashop-bench-"))
    try:
        rows = _measure(home, wanted, seconds, sagas)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    about = machine()
    lines = [(r.name, r.value, r.unit, r.floor, None if r.ratio is None else f"{r.ratio:.2f}") for r in rows]
    title = ", ".join(about.values())
    Console().print(printed(title, ["figure", "value #", "unit", "floor #", "ratio #"], lines))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
    console.print(f"written to {out}")


def _measure(home: Path, wanted: set[str], seconds: float, sagas: int) -> list[Row]:
    rows: list[Row] = []
    echo = 0.0
    if "http" in wanted:
        console.print("floor of a request: bare Flask behind the same Nginx")
        echo = echo_rate(home / "echo", seconds / 2)
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
