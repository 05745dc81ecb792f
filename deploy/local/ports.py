"""Are the ports free? Asked before anything is started, so that a taken one leaves the machine as it was."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.local.dotenv import write_private
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.processes import Process

HOST = "127.0.0.1"
SPAN = 80  # ports above PORT_BASE that a stack may use


def is_free(port: int) -> bool:
    """Can a server of ours listen there? Connections of an earlier one that are dying down do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def check(processes: Iterable[Process], ours: frozenset[int] = frozenset()) -> None:
    """Raises: StackError naming each port that somebody else has, who needs it, and the setting that moves it."""
    taken = [
        (port, process) for process in processes for port in process.ports if port not in ours and not is_free(port)
    ]
    if not taken:
        return
    lines = [
        f"  port {port} is taken, and {process.name} needs it: {_setting(port, process)} moves it"
        for port, process in taken
    ]
    example = _setting(*taken[0])
    raise StackError(
        "nothing was started.\n" + "\n".join(lines) + "\n"
        f"  See who has it with `ss -ltnp 'sport = :{taken[0][0]}'`, or choose another in .env or for once: "
        f"`{example}={find_free(example)} make up`."
    )


def _setting(port: int, process: Process) -> str:
    return "FRONT_TLS_PORT" if process.movable == "FRONT_PORT" and port != process.port else process.movable


def find_free(setting: str) -> int:
    """A value for FRONT_PORT, FRONT_TLS_PORT or PORT_BASE that is free now, below those that the kernel hands out."""
    span = SPAN if setting == "PORT_BASE" else 1
    while True:
        first = random.randrange(20_000, 32_000)  # noqa: S311 - not a secret
        if all(is_free(port) for port in range(first, first + span)):
            return first


def free_settings() -> dict[str, str]:
    """Ports for a stack beside others, for tests: `Stack(home, free_settings())`."""
    base = find_free("PORT_BASE")
    return {"PORT_BASE": str(base), "FRONT_PORT": str(base + SPAN - 2), "FRONT_TLS_PORT": str(base + SPAN - 1)}


def remember(layout: Layout, processes: Iterable[Process]) -> None:
    """Note who listens where, for the next `up`."""
    write_private(layout.home / "ports.json", json.dumps({process.name: process.ports for process in processes}))


def of_running(layout: Layout, states: Mapping[str, Mapping[str, Any]]) -> frozenset[int]:
    """The ports on which processes of this stack listen now."""
    file = layout.home / "ports.json"
    known: dict[str, list[int]] = json.loads(file.read_text()) if file.exists() else {}
    return frozenset(port for name, each in known.items() if states.get(name, {"pid": 0})["pid"] for port in each)
