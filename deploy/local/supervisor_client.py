"""Talks to the stack's supervisor over its Unix socket (XML-RPC), and starts it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from deploy.local.dotenv import REPO
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.waiting import until

CALL_TIMEOUT_S = 10.0
STOPPED = ("STOPPED", "EXITED", "FATAL")
KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CALL_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(self._path)


def connect(layout: Layout) -> Any | None:
    """The supervisor's functions (`supervisor.*`), or None when it does not run."""
    proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(layout.socket))
    try:
        proxy.supervisor.getState()
    except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError):
        return None
    return proxy.supervisor


def start(layout: Layout) -> None:
    """Start supervisor in a session of its own. It starts all processes by itself.

    What the shell happens to have set is not passed on: two starts from two shells are the same.

    Raises: StackError when it does not start.
    """
    clean = {name: os.environ[name] for name in KEPT if name in os.environ}
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(layout.supervisor_conf)]
    done = subprocess.run(
        command, cwd=REPO, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode:
        raise StackError(f"supervisor does not start:\n{done.stderr or done.stdout}")


def require(layout: Layout) -> Any:
    """As `connect`. Raises: StackError when it does not run."""
    supervisor = connect(layout)
    if supervisor is None:
        raise StackError("the stack does not run. Start it with `make up`.")
    return supervisor


def states(supervisor: Any | None) -> dict[str, dict[str, Any]]:
    """What supervisor (None: nothing) knows of each process, by name: `statename`, `pid`, `start`, `description`."""
    if supervisor is None:
        return {}
    return {info["name"]: info for info in cast("list[dict[str, Any]]", supervisor.getAllProcessInfo())}


def apply_changes(supervisor: Any) -> None:
    """Make supervisor run what its file says now: start what is new, restart what changed, leave the rest alone."""
    added, changed, removed = supervisor.reloadConfig()[0]
    stop(supervisor, [*removed, *changed], wait_s=25)
    for name in [*removed, *changed]:
        supervisor.removeProcessGroup(name)
    for name in [*changed, *added]:
        supervisor.addProcessGroup(name)


def stop(supervisor: Any, names: Sequence[str], wait_s: float) -> None:
    """Stop these side by side, gracefully. Raises: StackError when one still runs after `wait_s` seconds."""
    for name in names:
        with contextlib.suppress(xmlrpc.client.Fault):  # it does not run
            supervisor.stopProcess(name, False)

    def stopped() -> bool:
        now = states(supervisor)
        return all(now[name]["statename"] in STOPPED for name in names)

    until(stopped, within_s=wait_s, what=f"{', '.join(names)} to stop")
