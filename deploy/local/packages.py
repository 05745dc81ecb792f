"""The servers from the distribution: installed where we may, without one of its services being started."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.servers import find

NEEDED = {
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "epmd": "erlang-base",
    "nginx": "nginx",
    "openssl": "openssl",
}
FOR_TESTS = {"chromium": "chromium", "mariadbd": "mariadb-server"}
UNITS = {
    "redis-server": ("redis-server.service",),
    "rabbitmq-server": ("rabbitmq-server.service",),
    "erlang-base": ("epmd.service", "epmd.socket"),
    "nginx": ("nginx.service",),
    "mariadb-server": ("mariadb.service", "mariadb.socket"),
}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing(programs: Mapping[str, str]) -> list[str]:
    """The packages whose program is not there."""
    return [package for program, package in programs.items() if find(program) is None]


def ensure(programs: Mapping[str, str] = NEEDED) -> list[str]:
    """Install what is missing of these (package by program), and return it.

    Raises: StackError with the one command to type where we may not, or when apt-get fails.
    """
    packages = missing(programs)
    if not packages:
        return []
    apt = shutil.which("apt-get")
    by_hand = "apt-get install -y --no-install-recommends " + " ".join(packages)
    if apt is None:
        raise StackError(
            f"not installed: {', '.join(packages)}. Install them with this system's package manager, then `make up`."
        )
    if os.getuid() != 0:
        raise StackError(f"not installed: {', '.join(packages)}. Type `sudo {by_hand}`, then `make up`.")
    new = [package for package in UNITS if not is_installed(package)]
    print(f"Installing {', '.join(packages)} ...", flush=True)
    with nothing_starts():
        _run([apt, "update", "-qq"], by_hand)
        _run([apt, "install", "-y", "-qq", "--no-install-recommends", *packages], by_hand)
    stay_off([package for package in new if is_installed(package)])
    return packages


def is_installed(package: str) -> bool:
    command = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.startswith("ii")


def _run(command: Sequence[str], by_hand: str) -> None:
    env: Mapping[str, str] = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "DPKG_FORCE": "confold"}
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        last = "\n".join(f"    {line}" for line in (done.stdout + done.stderr).splitlines()[-8:])
        raise StackError(f"apt-get failed:\n{last}\n  Try it by hand: `{by_hand}`, then `make up`.")


@contextlib.contextmanager
def nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """While this lasts, no package may start a service (Debian's policy-rc.d). A policy that was there comes back."""
    saved = policy.with_name(policy.name + ".before-sagashop")
    if policy.exists():
        policy.replace(saved)
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
        if saved.exists():
            saved.replace(policy)


def stay_off(packages: Sequence[str]) -> None:
    """The services of packages that we installed do not start at the next boot either; call it for no others."""
    for package in packages:
        for unit in UNITS[package]:
            _quietly("systemctl", "disable", unit)
            name, _, kind = unit.partition(".")
            if kind == "service" and Path(f"/etc/init.d/{name}").exists():
                _quietly("update-rc.d", name, "disable")


def _quietly(*command: str) -> None:
    if shutil.which(command[0]):
        subprocess.run(command, capture_output=True, timeout=60, check=False)
