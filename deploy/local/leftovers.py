"""What a supervisor that was killed leaves running. Found by its session and folder, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from deploy.local.dotenv import REPO
from deploy.local.launch import session_members
from deploy.local.layout import Layout
from deploy.local.waiting import holds


def session(layout: Layout) -> int:
    """The session of the stack: the pid of its supervisor, running or killed. 0 when it ended in good order."""
    return int(layout.pidfile.read_text().strip() or 0) if layout.pidfile.exists() else 0


def members(session: int, layout: Layout) -> list[int]:
    """Pids of processes of this stack that are still there.

    A process is ours when it belongs to the session that our supervisor made and works in our folders. Both, because
    after a reboot the number in the pid file may be that of another session.
    """
    return [member.pid for member in session_members(session) if _works_here(member.pid, layout)] if session else []


def _works_here(pid: int, layout: Layout) -> bool:
    """Redis changes to its data; everything else stays in the repository."""
    try:
        folder = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return False
    return folder == REPO or folder.is_relative_to(layout.home)


def stop(layout: Layout, *, within_s: float = 20) -> list[int]:
    """End them: asked first, killed after half the time. Returns the pids that were there."""
    of = session(layout)
    found = members(of, layout)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in members(of, layout):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if holds(lambda: not members(of, layout), within_s=within_s / 2):
            break
    return found
