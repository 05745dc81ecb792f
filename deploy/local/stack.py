"""A stack on this machine: `Stack(home, env).up(60)`. The make targets and the tests use nothing else.

with Stack(tmp_path, free_settings()) as stack:
    requests.get(stack.url + "/api/products")
"""

from __future__ import annotations

import os
import shutil
import signal as signals
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from deploy import switching
from deploy.local import bus, leftovers, nginx, ports, readiness, servers, starting, supervisor_client
from deploy.local.errors import StackError
from deploy.local.processes import Process
from deploy.local.render import Changes, render
from deploy.local.starting import Progress
from deploy.local.supervisor_client import STOPPED
from deploy.local.view import View
from deploy.local.waiting import holds, until


class Stack(View):
    """One stack: everything it writes lies below `home`, everything it listens on is on 127.0.0.1."""

    mode = "local"
    patience_s = 90.0
    drain_s = switching.DRAIN_S

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self, wait_s: float = patience_s, progress: Progress = lambda ready, waiting: None) -> None:
        """Start what does not run, apply changed settings, leave the rest alone; return when all are ready.

        Raises: StackError with the reason and the next command: a server is not installed, a port is taken (nothing was
        started then), a process does not become ready within `wait_s` seconds (the others keep running).
        """
        env, processes = self.env, self.processes
        with self.layout.alone():
            servers.check_installed(processes)
            supervisor = supervisor_client.connect(self.layout)
            if supervisor is None:
                leftovers.stop(self.layout)
            ports.check(processes, ports.of_running(self.layout, supervisor_client.states(supervisor)))
            supervisor = self._change_bus(supervisor, env, processes, wait_s)
            changes = render(self.layout, env, processes)
            ports.remember(self.layout, processes)
            supervisor = self._run(supervisor, env, changes)
            starting.wait(supervisor, processes, env, self.layout.tail, wait_s, progress)

    def _change_bus(
        self, supervisor: Any | None, env: Mapping[str, str], processes: list[Process], wait_s: float
    ) -> Any | None:
        """Where the data are of the other bus: close the front door, let the workers finish, and move; or refuse."""
        old, new = bus.recorded(self.layout), env["BUS"]
        if old not in ("", new):
            supervisor = supervisor or self._with_servers_alone(env, processes, wait_s)
            switching.change(bus.LocalSite(supervisor, env, processes, wait_s), old, new, self.drain_s)
        bus.record(self.layout, new)
        return supervisor

    def _with_servers_alone(self, env: Mapping[str, str], processes: list[Process], wait_s: float) -> Any:
        """They must be running to be asked."""
        servers_only = [process for process in processes if process.service is None and process.name != "nginx"]
        changes = render(self.layout, env, servers_only)
        ports.remember(self.layout, servers_only)
        supervisor = self._run(None, env, changes)
        starting.wait(supervisor, servers_only, env, self.layout.tail, wait_s, lambda ready, waiting: None)
        return supervisor

    def _run(self, supervisor: Any | None, env: Mapping[str, str], changes: Changes) -> Any:
        if supervisor is None:
            supervisor_client.start(self.layout)
            return supervisor_client.require(self.layout)
        for server in changes.users:
            servers.reload_users(env, server)  # first: a service that is restarted next may have a new password
        if changes.nginx:
            nginx.reload(self.layout, supervisor)  # first: who is stopped next is asked no more
        supervisor_client.apply_changes(supervisor)
        for name, state in supervisor_client.states(supervisor).items():
            if state["statename"] in STOPPED:
                supervisor.startProcess(name, False)
        return supervisor

    def down(self, wait_s: float = 60) -> bool:
        """Stop the front door and the services, then the servers, all gracefully. Returns whether anything ran.

        Raises: StackError when something still runs after `wait_s` seconds.
        """
        with self.layout.alone():
            supervisor = supervisor_client.connect(self.layout)
            if supervisor is None:
                self.layout.remove_socket_folder()
                return bool(leftovers.stop(self.layout))
            running = supervisor_client.states(supervisor)
            first = [name for name in running if name not in {"redis-ledger", "redis-session", "rabbitmq", "epmd"}]
            for names in (first, [name for name in running if name not in first]):
                supervisor_client.stop(supervisor, names, wait_s)
            session = leftovers.session(self.layout)
            supervisor.shutdown()
            until(lambda: not leftovers.members(session, self.layout), within_s=wait_s, what="supervisor to end")
            self.layout.remove_socket_folder()
            return True

    def destroy(self) -> None:
        """Stop everything and delete the data: orders, accounts, customers, logs. The settings in .env stay."""
        self.down()
        shutil.rmtree(self.layout.home)

    def scale(self, replicas: int) -> None:
        """So many replicas of the orders API. No request is lost: who leaves is asked no more before it stops."""
        self._given["ORDERS_REPLICAS"] = str(replicas)
        self.up()

    def signal(self, process: str, number: int) -> int:
        """Send a signal (as `signal.SIGKILL`). Returns the pid that got it. Raises: StackError when it does not run."""
        pid = self.pid(process)
        if not pid:
            raise StackError(f"{process} does not run. Start it with `make up`.")
        os.kill(pid, signals.Signals(number))
        return pid

    def restart(self, process: str, wait_s: float = 60) -> None:
        """Stop one process gracefully, start it again, and wait until it is ready."""
        self.state(process)
        supervisor = supervisor_client.require(self.layout)
        supervisor_client.stop(supervisor, [process], wait_s)
        supervisor.startProcess(process, False)
        self.wait_ready(process, wait_s)

    def stop(self, process: str, wait_s: float = 30) -> None:
        """Stop one process, which then stays down until `start` or `up`."""
        self.state(process)
        supervisor_client.stop(supervisor_client.require(self.layout), [process], wait_s)

    def start(self, process: str, wait_s: float = 60) -> None:
        """Start one process that was stopped, and wait until it is ready."""
        if self.state(process)["statename"] in STOPPED:
            supervisor_client.require(self.layout).startProcess(process, False)
        self.wait_ready(process, wait_s)

    def wait_ready(self, process: str, wait_s: float = 60) -> None:
        """Raises: StackError when it is not ready in time."""
        row, env = next(p for p in self.processes if p.name == process), self.env

        def is_up() -> bool:  # the state first: what a killed process left behind may still answer in its place
            return self.state(process)["statename"] == "RUNNING" and readiness.is_ready(row, env)

        if not holds(is_up, within_s=wait_s):
            raise StackError(
                starting.why(
                    [process], supervisor_client.states(supervisor_client.require(self.layout)), self.layout.tail
                )
            )
