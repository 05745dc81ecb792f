"""What a backup needs of a stack: how to get at its servers, the one thing that differs between the run modes."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from deploy.local.errors import StackError

WITHIN_S = 3_600
"""Copying one server's data may take so long."""


class Store(Protocol):
    """One server's or one database's data. Everything but `save` wants the services stopped."""

    @property
    def name(self) -> str:
        """What it is the data of, for example `redis-ledger`."""

    @property
    def file(self) -> str:
        """What its file in a backup is called."""

    def save(self, to: Path) -> None:
        """Write its data, as they are at one instant of this call, to a new file, whoever changes them meanwhile."""

    def set_aside(self) -> None:
        """Make room, and keep what was there."""

    def load(self, file: Path) -> None:
        """Take a saved file in, where there is room."""

    def put_back(self) -> None:
        """Return to what was set aside. Does nothing where nothing was."""

    def forget(self) -> None:
        """Delete what was set aside."""


class Site(Protocol):
    """A stack in one of the run modes. Everything here raises StackError."""

    @property
    def env(self) -> Mapping[str, str]:
        """All settings."""

    @property
    def url(self) -> str:
        """Where its front door answers."""

    @property
    def sql(self) -> str:
        """`sqlite` or `mysql`: a backup of one is no use to the other."""

    def alone(self) -> AbstractContextManager[None]:
        """One backup or restore of this stack at a time."""

    def require_running(self) -> None:
        """Returns while the stack runs."""

    def stop(self) -> None:
        """Stop everything in good order; one that is stopped stays so."""

    def start(self) -> None:
        """Start everything; returns when all are ready."""

    def database(self, service: str) -> Store:
        """The service's own database."""

    def run(
        self,
        server: str,
        script: str,
        words: Sequence[str] = (),
        *,
        variables: Mapping[str, str] | None = None,
        stdin: BinaryIO | None = None,
        stdout: BinaryIO | None = None,
    ) -> str:
        """Run a shell script where this server is, in the folder of its data; what it printed, unless `stdout` has it.

        It ends at the first command that fails. `words` are its "$@". The variables it finds are those given, and how
        to log in: `REDISCLI_AUTH` and `REDIS_PORT`, or what rabbitmqctl needs. No secret is on a command line.
        """


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Raises: StackError when another holds the lock in this folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "backup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError("another backup or restore of this stack is at work. Wait for it.") from None
        yield


def finished(
    server: str,
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    folder: Path | None = None,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
) -> str:
    """Run a command to its end; what it printed. Raises: StackError with its last words when it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, timeout=WITHIN_S, check=False,
            stdin=stdin or subprocess.DEVNULL, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StackError(f"{server} did not do what it was asked within {WITHIN_S} s.") from None
    said, complaint = (done.stdout or b"").decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode:
        reason = (complaint + said).strip() or f"status {done.returncode}"
        raise StackError(f"{server} did not do what it was asked: {reason}")
    return said
