"""Waiting until what was started is ready, and saying why it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploy.local import readiness, supervisor_client
from deploy.local.errors import StackError
from deploy.local.processes import Process

Progress = Callable[[int, list[str]], None]  # number of ready processes, names of those awaited
States = Mapping[str, Mapping[str, Any]]

HOPELESS_STARTS = 5  # a process that supervisor has started so often while we wait will not come up by itself


def wait(
    supervisor: Any,
    processes: Sequence[Process],
    env: Mapping[str, str],
    logs: Callable[[str], str],
    wait_s: float,
    progress: Progress,
) -> None:
    """Return when all are ready.

    Raises: StackError telling which is not after `wait_s` seconds, or sooner when one ends again and again.
    """
    deadline = time.monotonic() + wait_s
    waiting = list(processes)
    starts: dict[str, set[int]] = {process.name: set() for process in processes}
    while True:
        ready = readiness.which_are_ready(waiting, env)
        states = supervisor_client.states(supervisor)
        waiting = [p for p in waiting if p.name not in ready or states[p.name]["statename"] != "RUNNING"]
        names = [process.name for process in waiting]
        progress(len(processes) - len(names), names)
        if not names:
            return
        for name in names:
            starts[name].add(states[name]["start"])
        hopeless = [name for name in names if len(starts[name]) >= HOPELESS_STARTS]
        if hopeless or time.monotonic() > deadline:
            raise StackError(why(hopeless or names, states, logs))
        time.sleep(0.2)


def why(names: Sequence[str], states: States, logs: Callable[[str], str]) -> str:
    """Each process with its state and its last words, and what to type next."""
    told = "\n".join(_one(name, states[name], logs(name)) for name in names)
    return f"{told}\n  See more with `make logs s={names[0]}`, and end what runs with `make down`."


def _one(name: str, state: Mapping[str, Any], log: str) -> str:
    last = "\n".join(f"    {line}" for line in log.splitlines()[-8:]) or "    (its log is empty)"
    return f"{name} is not ready ({state['statename'].lower()}: {state['description']}). Its log ends with:\n{last}"
