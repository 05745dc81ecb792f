"""Changing the bus of the local mode: see deploy/switching.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploy import switching
from deploy.local import supervisor_client
from deploy.local.layout import Layout
from deploy.local.processes import Process
from deploy.local.servers import rabbitmq_url, redis_url
from deploy.switching import Servers
from deploy.walls import ADMIN

Env = Mapping[str, str]


def recorded(layout: Layout) -> str:
    """The bus that the data of this stack are of; empty where there are none yet."""
    file = layout.home / "bus"
    if file.exists():
        return file.read_text().strip()
    return "redis" if (layout.home / "redis-ledger" / "appendonlydir").exists() else ""


def record(layout: Layout, bus: str) -> None:
    (layout.home / "bus").write_text(f"{bus}\n")


class LocalSite:
    """See `deploy.switching.Site`. Of a stack that does not run, the servers alone have been started."""

    def __init__(self, supervisor: Any, env: Env, processes: Sequence[Process], wait_s: float) -> None:
        self._supervisor, self._wait_s = supervisor, wait_s
        self._servers = Servers(redis_url(env, "LEDGER", ADMIN), rabbitmq_url(env))
        running = supervisor_client.states(supervisor)
        ours = [each for each in processes if each.name in running and each.service]
        self._front = [each.name for each in ours if "PORT" in each.env]
        self._behind = [each.name for each in ours if each.name not in self._front]

    def close_door(self) -> None:
        supervisor_client.stop(self._supervisor, self._front, self._wait_s)

    def stop_workers(self) -> None:
        supervisor_client.stop(self._supervisor, self._behind, self._wait_s)

    def open_again(self) -> None:
        states = supervisor_client.states(self._supervisor)
        for name in (*self._behind, *self._front):
            if states[name]["pid"] == 0:
                self._supervisor.startProcess(name, False)

    def left(self, bus: str, within_s: float) -> list[str]:
        return switching.wait_until_empty(self._servers, bus, within_s)

    def move(self, new: str) -> None:
        switching.move(self._servers, new)
