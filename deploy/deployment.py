"""What `make` and the tests know of a stack, in whichever mode it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from deploy.local.starting import Progress


class Deployment(Protocol):
    """A stack: processes of this machine (`deploy.local.stack.Stack`) or containers (`deploy.compose.stack`).

    A process has the same name in both: `orders-worker`, `orders-web-1`, `redis-ledger`. What can go wrong is raised as
    StackError, with the next command to type.
    """

    mode: str
    patience_s: float
    env_file: Path

    @property
    def env(self) -> dict[str, str]:
        """All settings."""

    @property
    def url(self) -> str:
        """Where the front door answers, without a slash at the end."""

    @property
    def addresses(self) -> Mapping[str, str]:
        """REDIS_LEDGER_URL, REDIS_SESSION_URL, RABBITMQ_URL as this machine reaches them now."""

    @property
    def services(self) -> list[str]:
        """The names of all processes of ours, without the servers."""

    @property
    def secrets(self) -> list[str]:
        """What must never be read in a log."""

    @property
    def runs(self) -> bool: ...

    @property
    def data(self) -> str:
        """What `destroy` deletes, in words."""

    @property
    def breaking(self) -> str:
        """A command that kills a replica of orders."""

    def up(self, wait_s: float = ..., progress: Progress = ...) -> None: ...
    def down(self) -> bool: ...
    def destroy(self) -> None: ...
    def scale(self, replicas: int) -> None: ...

    def ps(self) -> list[dict[str, Any]]: ...
    def pid(self, process: str) -> int: ...
    def matching(self, name: str) -> list[str]: ...
    def inside(self, process: str) -> str: ...

    def signal(self, process: str, number: int) -> int: ...
    def stop(self, process: str) -> None: ...
    def start(self, process: str) -> None: ...
    def restart(self, process: str) -> None: ...
    def wait_ready(self, process: str) -> None: ...

    def logs(self, process: str) -> str: ...
    def everything_logged(self) -> Iterator[tuple[str, bytes]]: ...
    def show_logs(self, names: Sequence[str], *, lines: int, follow: bool) -> None: ...
