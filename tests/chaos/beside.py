"""A further process of a service beside those of the stack: the same command, with some of its settings changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.dotenv import REPO
from deploy.local.stack import Stack


class Beside:
    """A running process, and what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    @property
    def pid(self) -> int:
        assert self._process.poll() is None, f"it ended:\n{self.log}"
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def logged(self, event: str) -> int:
        """How often it logged this event."""
        return self.log.count(f'"event":"{event}"')


def settings_of(stack: Stack, process: str) -> dict[str, str]:
    """The variables that the stack gives one of its processes."""
    told: dict[str, str] = json.loads(stack.layout.spec(process).read_text())["env"]
    return told


@contextmanager
def beside(stack: Stack, like: str, folder: Path, **changes: str) -> Iterator[Beside]:
    """Start what the stack runs as `like`, with these variables changed; it ends with the context."""
    spec = json.loads(stack.layout.spec(like).read_text())
    env = os.environ | spec["env"] | {"HEALTH_PORT": "0"} | changes
    log = folder / f"{like}-beside.log"
    with log.open("ab") as output:
        process = subprocess.Popen(spec["command"], cwd=REPO, env=env, stdout=output, stderr=output)
    try:
        yield Beside(process, log)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(20)
