"""Nginx in local mode: a copy of `nginx/` below the home, beside what depends on this stack."""

from __future__ import annotations

import os
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.config import nginx as shared
from deploy.config.nginx import UPSTREAMS, Place, ensure_certificate
from deploy.local import servers, supervisor_client
from deploy.local.dotenv import REPO, write_private
from deploy.local.errors import StackError
from deploy.local.launch import session_members
from deploy.local.layout import Layout
from deploy.local.processes import Process, upstream_of
from deploy.local.waiting import holds

Env = Mapping[str, str]
SOURCE = REPO / "nginx"


def write(layout: Layout, env: Env, processes: Sequence[Process]) -> bool:
    """Returns whether any file changed. The copy keeps a running stack safe from half-done edits."""
    folder = layout.home / "nginx"
    if env["TLS"] == "on":
        ensure_certificate(folder)
    wanted = {
        file.relative_to(SOURCE): file.read_text() for file in SOURCE.rglob("*") if file.suffix in {".conf", ".html"}
    }
    wanted |= {Path("rendered") / name: text for name, text in rendered(env, processes).items()}
    changed = [path for path, text in wanted.items() if _text(folder / path) != text]
    for path in changed:
        write_private(folder / path, wanted[path])
    return bool(changed)


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def rendered(env: Env, processes: Sequence[Process]) -> dict[str, str]:
    """The files that differ per mode and stack, by name."""
    place = Place(f"127.0.0.1:{env['FRONT_PORT']}", f"127.0.0.1:{env['FRONT_TLS_PORT']}", f"{REPO}/web")
    return {
        **shared.rendered(env, place),
        # Everything runs as who typed `make up`. Of itself, Nginx gives the workers of a root master to a user who may
        # not be able to read web/.
        "main.conf": "user root;\n"
        if os.getuid() == 0
        else "# the master does not run as root, and so neither do the workers\n",
        "upstreams.conf": upstreams(processes),
        "consoles.conf": "# only Compose has consoles\n",
    }


def upstreams(processes: Sequence[Process]) -> str:
    """One group a service. A replica is never left out for having failed: on loopback a dead one refuses at once and
    the next is asked, while two that fail one after the other would leave nobody to ask.

    Idle connections are closed before gunicorn closes them, so that a POST never meets one that is just going away.
    """
    groups: dict[str, list[Process]] = defaultdict(list)
    for process in processes:
        if name := upstream_of(process):
            groups[name].append(process)
    return "\n".join(_upstream(name, groups[name]) for name in UPSTREAMS)


def _upstream(name: str, members: Sequence[Process]) -> str:
    ports = [process.port for process in members] or [1]  # nobody listens on port 1: such a service is down
    addresses = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in ports)
    return f"upstream {name} {{\n    zone {name} 64k;\n{addresses}    keepalive 32;\n    keepalive_timeout 30s;\n}}\n"


def check(layout: Layout, executable: str) -> str | None:
    """What Nginx finds wrong with its files, or None."""
    folder = layout.home / "nginx"
    command = [executable, "-e", "stderr", "-t", "-q", "-p", f"{folder}/", "-c", str(folder / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stderr if done.returncode else None


def reload(layout: Layout, supervisor: Any) -> None:
    """Let it take its new files without dropping a request; returns when no request is routed by the old ones any more.

    Raises: StackError when it finds them wrong.
    """
    if problem := check(layout, servers.executable("nginx")):
        raise StackError(f"Nginx does not take its new configuration and keeps the old one:\n{problem}")
    state = supervisor_client.states(supervisor).get("nginx", {"statename": "DOWN"})
    if state["statename"] == "RUNNING":
        old = [each.pid for each in session_members(os.getsid(state["pid"])) if each.parent == state["pid"]]
        supervisor.signalProcess("nginx", "HUP")
        holds(lambda: all(map(_takes_no_more, old)), within_s=5, every_s=0.05)


def _takes_no_more(worker: int) -> bool:
    """Nginx writes it into the title of a worker that only ends what it has begun."""
    try:
        return b"shutting down" in Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:
        return True
