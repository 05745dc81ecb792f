"""Compose or local: which way `make up` goes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.local.dotenv import REPO
from deploy.local.errors import StackError

COMPOSE_FILE = REPO / "docker-compose.yml"


def engine_answers(within_s: float = 3) -> bool:
    """Does a Docker engine answer? A client without an engine does not count."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run([docker, "info"], capture_output=True, timeout=within_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def choose(
    mode: str, *, answers: Callable[[], bool] = engine_answers, compose_file: Path = COMPOSE_FILE
) -> tuple[str, str]:
    """The mode, and one line to tell when the choice may surprise.

    Raises: StackError when `mode` is not one, or asks for what is not there.
    """
    if mode not in {"", "local", "compose"}:
        raise StackError(
            f"MODE is {mode!r}, and must be local or compose (or empty: decided by whether an engine answers)."
        )
    if mode == "compose" and not compose_file.exists():
        raise StackError("there is no docker-compose.yml here yet. Run the local mode: `make up MODE=local`.")
    if mode:
        return mode, ""
    if not answers():
        return "local", ""
    if compose_file.exists():
        return "compose", ""
    return "local", "A Docker engine answers, but there is no docker-compose.yml here yet: running the local mode."
