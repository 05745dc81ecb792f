"""Compose or local: which way `make up` goes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Literal

from deploy.local.errors import StackError

Mode = Literal["local", "compose"]
Engine = Literal["none", "no compose", "ready"]
MISSING: dict[Engine, str] = {
    "none": "no Docker engine answers. Start it, or see why with `docker info`",
    "no compose": "a Docker engine answers, but `docker compose` (version 2.20 or later) is not installed."
    " Install the package docker-compose-plugin",
    "ready": "",
}


def look(within_s: float = 5) -> Engine:
    """What of Docker there is. A client without an engine that answers does not count."""
    docker = shutil.which("docker")
    if docker is None or not _works(docker, "info", within_s=within_s):
        return "none"
    return "ready" if _works(docker, "compose", "up", "--wait-timeout=1", "--help", within_s=within_s) else "no compose"


def _works(*command: str, within_s: float) -> bool:
    try:
        return not subprocess.run(command, capture_output=True, timeout=within_s, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def choose(mode: str, *, engine: Callable[[], Engine] = look) -> tuple[Mode, str]:
    """The mode, and one line to tell when the choice may surprise.

    Raises: StackError when `mode` is not one, or asks for what is not there.
    """
    if mode not in {"", "local", "compose"}:
        raise StackError(
            f"MODE is {mode!r}, and must be local or compose (or empty: decided by whether an engine answers)."
        )
    if mode == "local":
        return "local", ""
    found = engine()
    if found == "ready":
        return "compose", ""
    if mode == "compose":
        raise StackError(f"{MISSING[found]}, or run without Docker: `make up MODE=local`.")
    return "local", "" if found == "none" else f"Running the local mode: {MISSING[found]} to use it."
