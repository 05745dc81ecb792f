"""Where a stack keeps its things: all below one folder, its home."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError

LONGEST_SOCKET = 90  # bytes; the kernel takes 107, and supervisor binds under a longer name first


@dataclass(frozen=True)
class Layout:
    """The paths of the stack that lives in `home` (absolute)."""

    home: Path

    @property
    def tag(self) -> str:
        """Tells stacks apart where they share a name space: a hash of the home."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:12]

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def pidfile(self) -> Path:
        return self.home / "supervisord.pid"

    @property
    def supervisor_conf(self) -> Path:
        return self.home / "supervisord.conf"

    @property
    def socket(self) -> Path:
        """Supervisor's control socket; in /tmp where the home's path is too long for a socket."""
        here = self.home / "supervisor.sock"
        return here if len(str(here).encode()) <= LONGEST_SOCKET else self._socket_folder / "supervisor.sock"

    @property
    def _socket_folder(self) -> Path:
        return Path(f"/tmp/sagashop-{os.getuid()}-{self.tag}")  # noqa: S108 - its owner and mode are checked below

    def log(self, process: str) -> Path:
        return self.home / "log" / f"{process}.log"

    def spec(self, process: str) -> Path:
        return self.home / "run" / f"{process}.json"

    def make(self) -> None:
        """Make the folders, for their owner alone.

        Raises: StackError when somebody else owns the folder of the socket.
        """
        for name in (
            "",
            "data",
            "log",
            "run",
            "redis-ledger",
            "redis-session",
            "rabbitmq",
            "nginx/run",
            "nginx/rendered",
        ):
            (self.home / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent != self.home:
            self._socket_folder.mkdir(mode=0o700, exist_ok=True)
            if self._socket_folder.is_symlink() or self._socket_folder.stat().st_uid != os.getuid():
                raise StackError(
                    f"{self._socket_folder} belongs to somebody else. Set SAGASHOP_HOME to a shorter path."
                )

    def remove_socket_folder(self) -> None:
        """Leave nothing in /tmp behind."""
        if self.socket.parent != self.home:
            with contextlib.suppress(OSError):
                self._socket_folder.rmdir()

    def tail(self, process: str, last_bytes: int = 64_000) -> str:
        """The end of the log of a process; empty when there is none."""
        path = self.log(process)
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - last_bytes))
            return file.read().decode(errors="replace")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One `up` or `down` of a stack at a time. Raises: StackError when another is at work."""
        self.make()
        with (self.home / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError("another `make up` or `make down` of this stack is at work. Wait for it.") from None
            yield
