"""Becomes one process of the stack: `launch.py SPEC.json`. Started by supervisor, ends in exec, so the pid stays.

The specification holds the command and its environment in a file that only its owner may read: no secret is on a
command line, and no quoting stands between the settings and the process. Standard library only: it runs isolated.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    pid: int
    parent: int
    group: int
    name: str


def session_members(session: int) -> Iterator[Member]:
    """The processes of a session. All of a stack's are in that of its supervisor, whatever became of their parents."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(") ")
            state, parent, group, member_of = rest.split()[:4]
            if int(member_of) == session and state != "Z":
                yield Member(int(entry.name), int(parent), int(group), name)


def wait_for(port: int, within_s: float) -> None:
    """Returns when somebody listens there, or after `within_s`: the process then says best itself what it misses."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)


def stop_orphans(name: str) -> None:
    """End what a killed predecessor has left: nginx's workers outlive their master and would keep its port."""
    for member in session_members(os.getsid(0)):
        if member.name == name and member.group != os.getpgrp():
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGQUIT)  # they finish what they have begun


def give_way(nice: int) -> None:
    """Up to 19 as `nice` means it; beyond, run only while nobody else of this session wants the processor."""
    os.nice(min(nice, 19))
    if nice > 19:
        with contextlib.suppress(OSError):  # where a sandbox does not let it, 19 has to do
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main(path: str) -> None:
    spec = json.loads(Path(path).read_text())
    if spec["wait_for"]:
        wait_for(spec["wait_for"], within_s=15)
    if spec["alone"]:
        stop_orphans(spec["alone"])
    for command in spec.get("before", ()):
        if subprocess.run(command, check=False).returncode:
            sys.exit(1)  # it has said why; supervisor tries again
    give_way(spec["nice"])
    os.execvpe(spec["command"][0], spec["command"], os.environ | spec["env"])  # noqa: S606 - the table's own commands


if __name__ == "__main__":
    main(sys.argv[1])
