"""What can be asked of a stack on this machine without changing it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.local import dotenv, readiness, supervisor_client
from deploy.local.checks import checked
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.processes import Process, table
from deploy.local.service_env import addresses, public_url


class View:
    """The settings, processes, addresses and logs of the stack in `home`.

    env:       settings by name; those not given come from the env file, which is made with fresh secrets when missing
    env_file:  default `home/.env`; `make` gives the repository's
    processes: makes the table from the settings; tests give stand-ins
    """

    def __init__(
        self,
        home: Path,
        env: Mapping[str, str] | None = None,
        *,
        env_file: Path | None = None,
        processes: Callable[[Mapping[str, str]], list[Process]] = table,
    ) -> None:
        self.layout = Layout(home.absolute())
        self.env_file = env_file or self.layout.home / ".env"
        self._given = dict(env or {})
        self._table = processes

    @property
    def env(self) -> dict[str, str]:
        """All settings. Makes the env file when there is none."""
        values = dotenv.ensure(self.env_file) | self._given
        return checked(values)

    @property
    def processes(self) -> list[Process]:
        return self._table(self.env)

    @property
    def url(self) -> str:
        """Where the front door answers, without a slash at the end."""
        return public_url(self.env)

    @property
    def addresses(self) -> dict[str, str]:
        """REDIS_LEDGER_URL, REDIS_SESSION_URL, RABBITMQ_URL …: what the services are told, for tests and tools."""
        return addresses(self.env)

    def inside(self, process: str) -> str:
        """Where the HTTP of one process answers, around the front door."""
        port = next(each.port for each in self.processes if each.name == process)
        return f"http://127.0.0.1:{port}"

    @property
    def services(self) -> list[str]:
        """The names of all processes of ours, without the servers."""
        return [process.name for process in self.processes if process.service]

    @property
    def runs(self) -> bool:
        return supervisor_client.connect(self.layout) is not None

    def ps(self) -> list[dict[str, Any]]:
        """Each process: `name`, `state`, `pid` (0: none), `port`, `ready`, `description`."""
        supervisor = supervisor_client.connect(self.layout)
        states = supervisor_client.states(supervisor)
        ready = readiness.which_are_ready([p for p in self.processes if p.name in states], self.env)
        return [_row(process, states.get(process.name), process.name in ready) for process in self.processes]

    def pid(self, process: str) -> int:
        """The process's pid now; 0 while it does not run. Raises: StackError for an unknown name."""
        return int(self.state(process)["pid"])

    def state(self, process: str) -> dict[str, Any]:
        """What supervisor knows of it. Raises: StackError for an unknown name, or when the stack does not run."""
        states = supervisor_client.states(supervisor_client.require(self.layout))
        if process not in states:
            raise StackError(f"there is no process {process!r}. There are: {', '.join(states)}.")
        return states[process]

    def matching(self, name: str) -> list[str]:
        """The processes of that name, or of the service of that name. Raises: StackError when there are none."""
        names = [process.name for process in self.processes]
        found = [each for each in names if each == name] or [each for each in names if each.startswith(name + "-")]
        if not found:
            raise StackError(f"there is no process or service {name!r}. There are: {', '.join(names)}.")
        return found

    def logs(self, process: str) -> str:
        """The end of what it wrote, some 64 kB."""
        return self.layout.tail(process)

    def everything_logged(self) -> Iterator[tuple[str, bytes]]:
        """Each line that any process has written, with the name of its file."""
        for file in sorted((self.layout.home / "log").iterdir()):
            for line in file.read_bytes().splitlines():
                yield file.name, line

    def show_logs(self, names: Sequence[str], *, lines: int, follow: bool) -> None:
        """Become what shows the end of these logs. Raises: StackError when there are none yet."""
        files = [str(self.layout.log(each)) for each in names if self.layout.log(each).exists()]
        if not files:
            raise StackError("there are no logs yet. Start the stack with `make up`.")
        sys.stdout.flush()
        tail = shutil.which("tail") or "tail"
        os.execv(tail, [tail, "-n", str(lines), *(["-F"] if follow else []), *files])  # noqa: S606

    @property
    def secrets(self) -> list[str]:
        """What must never be read in a log."""
        cookie = (self.layout.home / "rabbitmq" / ".erlang.cookie").read_text()
        return [*(value for name, value in self.env.items() if "PASSWORD" in name), cookie]

    @property
    def data(self) -> str:
        """What `destroy` deletes, in words."""
        return f"everything in {self.layout.home}"

    @property
    def breaking(self) -> str:
        """A command that kills a replica of orders."""
        return f"kill -9 {self.pid('orders-web-1')}"


def _row(process: Process, state: Mapping[str, Any] | None, ready: bool) -> dict[str, Any]:
    known = state or {"statename": "DOWN", "pid": 0, "description": ""}
    return {
        "name": process.name,
        "state": str(known["statename"]).lower(),
        "ready": ready and known["statename"] == "RUNNING",
        "pid": known["pid"],
        "port": process.port,
        "description": known["description"],
    }
