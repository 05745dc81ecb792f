"""Hands this machine's pip settings to the build of the services' image: an index, a proxy, an authority of one's own.

They go into `.local/build/`, which Docker sends with the sources; services/Dockerfile uses them in its first stage
only, so that neither they nor a password in an index's address are in an image that is kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.dotenv import REPO, write_private

PASSED_ON = ("index-url", "extra-index-url", "proxy", "trusted-host", "timeout")
AUTHORITIES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def hand_over(folder: Path = REPO / ".local/build", env: Mapping[str, str] = os.environ) -> None:
    """Write `pip.conf` and `ca.pem` where this machine has such settings, and take away those it has no more."""
    settings = dict(_settings(env))
    lines = [f"{name} = {settings[name]}" for name in PASSED_ON if name in settings]
    _keep(folder / "pip.conf", "\n".join(["[global]", *lines, ""]) if lines else "")
    authority = Path(settings.get("cert") or next((env[name] for name in AUTHORITIES if env.get(name)), "/nowhere"))
    _keep(folder / "ca.pem", authority.read_text() if authority.is_file() else "")


def _settings(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What `pip config list` tells, the environment's last, so that it wins; addresses of files mean nothing there."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=60, check=False).stdout
    for line in sorted(told.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        values = [word for word in value.strip("'\"").split() if not word.startswith("file:")]
        if values:
            yield name.rpartition(".")[2], " ".join(values)


def _keep(file: Path, text: str) -> None:
    if text:
        write_private(file, text)
    else:
        file.unlink(missing_ok=True)
