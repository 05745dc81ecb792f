"""Changing the bus of a project of Compose: see deploy/switching.py.

Nothing but Nginx can be reached from this machine, so a container asks and moves: `setup`, which has the passwords.
"""

from __future__ import annotations

from collections.abc import Iterable

from deploy import switching
from deploy.compose import docker
from deploy.compose.project import Project

LEDGER = "redis-ledger"
FRONT = ("-web", "-live")
START_S, STOP_S = 120.0, 120.0


class ComposeBus:
    """See `deploy.switching.Site`."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._front, self._behind, self._ready = list[str](), list[str](), set[str]()
        for each in project.containers():
            if each.pid and each.is_ours:
                (self._front if each.service.endswith(FRONT) else self._behind).append(each.service)
            elif each.ready:
                self._ready.add(each.service)

    def carrier(self) -> str:
        """The bus that the data are of; empty where there are none. Starts the server that knows."""
        if not self._project.has_data(LEDGER):
            return ""
        self._need(LEDGER)
        words = ("redis-cli", "--user", "admin", "--no-auth-warning", "get", switching.CARRIER)
        return self._project.compose("exec", "-T", LEDGER, *words).strip()

    def close_door(self) -> None:
        self._compose("stop", self._front, STOP_S)

    def stop_workers(self) -> None:
        self._compose("stop", self._behind, STOP_S)

    def open_again(self) -> None:
        self._compose("start", [*self._behind, *self._front], START_S)

    def left(self, bus: str, within_s: float) -> list[str]:
        told = self._inside("left", bus, str(within_s), timeout_s=within_s + docker.TIMEOUT_S)
        return [line for line in told.splitlines() if line]

    def move(self, new: str) -> None:
        self._inside("move", new)

    def _inside(self, *words: str, timeout_s: float = docker.TIMEOUT_S) -> str:
        self._need(LEDGER, "rabbitmq")
        command = ("--progress", "quiet", "run", "--rm", "-T", "--no-deps", "setup", "python", "-m", "deploy.setup.bus")
        return self._project.compose(*command, *words, timeout_s=timeout_s)

    def _need(self, *servers: str) -> None:
        if missing := [server for server in servers if server not in self._ready]:
            self._project.compose("up", "--detach", "--wait", *missing, timeout_s=START_S)
            self._ready.update(missing)

    def _compose(self, what: str, services: Iterable[str], timeout_s: float) -> None:
        if names := sorted(set(services)):  # without names it would be all
            self._project.compose(what, *names, timeout_s=timeout_s)
