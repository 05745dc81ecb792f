"""The images that a project needs: fetched where they are missing, ours made from this folder."""

from __future__ import annotations

import json
import subprocess
import sys

from deploy.compose.project import Project
from deploy.local.errors import StackError
from deploy.offline import pip_settings


def provide(project: Project) -> None:
    """Fetch and build, in sight of who typed the command; quick when nothing is missing and nothing has changed.

    Raises: StackError when that fails.
    """
    pip_settings.hand_over()
    services = json.loads(project.compose("config", "--format", "json"))["services"]
    foreign = [name for name, each in services.items() if not each["image"].startswith(f"{project.name}/")]
    _show(project, "pull", "--policy", "missing", *foreign)
    _show(project, "build")


def _show(project: Project, *arguments: str) -> None:
    quiet = () if sys.stdout.isatty() else ("--quiet",)
    if subprocess.run(project.command(*arguments, *quiet), env=project.environment(), check=False).returncode:
        raise StackError(
            f"`docker compose {arguments[0]}` failed; the reason stands above.\n"
            "  Where no registry can be reached, `make base-images` makes stand-ins from Debian packages, as root,\n"
            "  and `make up MODE=local` needs no Docker at all."
        )
