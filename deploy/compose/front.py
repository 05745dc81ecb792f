"""What Nginx is told before a replica is stopped. The rest it finds out by itself, once a second (front-door.sh)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deploy.compose.containers import Container
from deploy.compose.project import Project
from deploy.local.waiting import holds, until

LEAVING, UPSTREAMS = "/config/run/leaving", "/config/run/upstreams.conf"


@contextmanager
def without(project: Project, leaving: Sequence[Container]) -> Iterator[None]:
    """While this lasts, Nginx does not ask these replicas.

    Raises: StackError when Nginx goes on asking them.
    """
    if not leaving:
        yield
        return
    addresses = [each.address for each in leaving]
    _in_nginx(project, f"cat > {LEAVING}", "".join(f"{address}\n" for address in addresses))
    try:
        until(lambda: not _asked(project, addresses), within_s=15, what="Nginx to leave out a replica")
        holds(lambda: not _old_workers(project), within_s=6, every_s=0.3)
        yield
    finally:
        _in_nginx(project, f": > {LEAVING}")


def _asked(project: Project, addresses: Sequence[str]) -> bool:
    known = _in_nginx(project, f"cat {UPSTREAMS}")
    return any(f" {address}:" in known for address in addresses)


def _old_workers(project: Project) -> bool:
    """Those that route by the old list; Nginx ends them within some seconds."""
    return "shutting down" in _in_nginx(project, "cat /proc/[0-9]*/cmdline")


def _in_nginx(project: Project, command: str, stdin: str = "") -> str:
    return project.compose("exec", "-T", "nginx", "sh", "-c", command, stdin=stdin)
