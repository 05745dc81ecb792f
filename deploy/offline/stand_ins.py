"""Stand-ins for the images of Compose: one base by debootstrap, and on it a Dockerfile each, from Debian packages.

They take the configuration that docker-compose.yml gives the official images: users, paths, commands, environment.
An image that is no stand-in is never replaced. Made again, they come from the engine's cache within seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from deploy.local import packages
from deploy.local.errors import StackError

HERE = Path(__file__).parent / "images"
BASE = "sagashop/debian:trixie"
LABEL = "sagashop.stand-in"
IMAGES = {
    "python": "PYTHON_IMAGE",
    "redis": "REDIS_IMAGE",
    "rabbitmq": "RABBITMQ_IMAGE",
    "nginx": "NGINX_IMAGE",
    "mysql": "MYSQL_IMAGE",
}
"""Folder of the Dockerfile, and the setting with the name that the image is to have."""
CONSOLES = {"adminer": "ADMINER_IMAGE", "node": "NODE_IMAGE"}
"""Made where COMPOSE_PROFILES has `consoles`: npm alone is some 300 packages."""


def make(env: Mapping[str, str]) -> None:
    """Make those that are not there under their own right, and print what is done.

    Raises: StackError when no engine answers, when this user may not run debootstrap, or when a build fails.
    """
    if not _succeeds("docker", "info"):
        raise StackError("no Docker engine answers. `deploy/offline/engine.sh` installs and starts one, as root.")
    wanted = IMAGES | (CONSOLES if "consoles" in env["COMPOSE_PROFILES"].split(",") else {})
    names = {folder: env[setting] for folder, setting in wanted.items()}
    ours = {folder: name for folder, name in names.items() if not is_official(name)}
    for name in sorted(set(names.values()) - set(ours.values())):
        print(f"{name}: there already, and no stand-in of ours", flush=True)
    if ours and not _succeeds("docker", "image", "inspect", BASE):
        _timed(f"{BASE}: debootstrap ...", _make_base)
    for folder, name in ours.items():
        _timed(f"{name}: from Debian packages ...", partial(build, HERE / folder, name))


def is_official(name: str) -> bool:
    """Is there an image of this name that we have not made?"""
    command = ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0 and done.stdout.strip() != "true"


def build(folder: Path, name: str) -> None:
    _run(["docker", "build", "--tag", name, str(folder)], f"the image {name} cannot be built")


def mirror() -> list[str]:
    """As an argument of debootstrap, which has a default of its own."""
    return [given] if (given := os.environ.get("DEBIAN_MIRROR")) else []


def _make_base() -> None:
    """The smallest Debian, without documents, in which no package starts a service."""
    if os.getuid() != 0:
        raise StackError("debootstrap needs root. Type `sudo make base-images`, then go on as yourself.")
    packages.ensure({"debootstrap": "debootstrap"})
    with tempfile.TemporaryDirectory() as parent:
        root = Path(parent, "root")
        _run(["debootstrap", "--variant=minbase", "trixie", str(root), *mirror()], "debootstrap cannot make a Debian")
        _slim(root)
        labels = ["--change", f"LABEL {LABEL}=true", "--change", "ENV DEBIAN_FRONTEND=noninteractive"]
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            _run(["docker", "import", *labels, "-", BASE], "the base cannot be imported", stdin=tar)


def _slim(root: Path) -> None:
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / folder, ignore_errors=True)
    excluded = "".join(f"path-exclude=/usr/share/{name}/*\n" for name in ("doc", "man", "info", "locale"))
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(excluded)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)


def _run(command: Sequence[str], problem: str, stdin: subprocess.Popen[bytes] | None = None) -> None:
    source = stdin.stdout if stdin else subprocess.DEVNULL
    done = subprocess.run(command, stdin=source, capture_output=True, timeout=1800, check=False)
    if done.returncode:
        last = "\n".join(
            f"    {line}" for line in (done.stdout + done.stderr).decode(errors="replace").splitlines()[-8:]
        )
        raise StackError(f"{problem}:\n{last}\n  By hand: `{' '.join(command)}`.")


def _timed(what: str, do: Callable[[], None]) -> None:
    began = time.monotonic()
    print(what, end=" ", flush=True)
    do()
    print(f"{time.monotonic() - began:.0f} s", flush=True)


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
