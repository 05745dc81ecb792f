"""The site of the Compose mode: servers are containers, their data folders volumes.

A script runs in the server's container, or, while that does not run, in one for once with the same volumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deploy.backup import mysql_store, site
from deploy.backup.mysql_store import MysqlStore
from deploy.backup.site import Store
from deploy.compose.stack import ComposeStack
from deploy.local.errors import StackError

FOLDERS = {"redis-ledger": "/data", "redis-session": "/data", "rabbitmq": "/var/lib/rabbitmq", "mysql": "/tmp"}  # noqa: S108
VARIABLES: Mapping[str, Mapping[str, str]] = {
    "redis-ledger": {"REDIS_PORT": "6379"},
    "redis-session": {"REDIS_PORT": "6379"},
}
"""Beside what the container has anyway: REDISCLI_AUTH, and the password of MySQL's root."""
ROOT = {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": "3306", "MYSQL_LOGIN": "root"}
QUIETLY = ("--progress", "quiet")
AS_ROOT = 'export MYSQL_PWD="$MYSQL_ROOT_PASSWORD"; '


class ComposeSite:
    """A stack of containers.

    folder: for what belongs to no container: the lock, and tables that were set aside
    """

    sql = "mysql"

    def __init__(self, stack: ComposeStack, folder: Path) -> None:
        self.stack, self._folder = stack, folder
        self.env: Mapping[str, str] = stack.env
        self.url = stack.url

    @contextmanager
    def alone(self) -> Iterator[None]:
        with site.locked(self._folder):
            yield

    def require_running(self) -> None:
        if not self.stack.runs:
            raise StackError("the stack does not run. Start it with `make up`.")

    def stop(self) -> None:
        """Everything but MySQL, which takes its data in while it runs: it is started alone, with all databases."""
        self.stack.build()  # on a new machine there are no images yet; better now than when all is stopped
        self.stack.down()
        self.stack.compose("run", "--rm", "-T", "databases", timeout_s=300)

    def start(self) -> None:
        self.stack.up()

    def database(self, service: str) -> Store:
        return MysqlStore(self, service, {**ROOT, "MYSQL_NAME": f"sagashop_{service}"}, self._folder / "replaced-sql")

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
        told = {**VARIABLES.get(server, {}), **(variables or {})}
        options = ["-T", f"--workdir={FOLDERS[server]}", *(f"--env={name}={value}" for name, value in told.items())]
        shell = ["-euc", f"umask 077; {AS_ROOT if server == mysql_store.SERVER else ''}{script}", "sh", *words]
        if self.stack.compose("ps", "--quiet", "--status", "running", server).strip():
            command = self.stack.command(*QUIETLY, "exec", *options, server, "sh", *shell)
        else:
            command = self.stack.command(
                *QUIETLY, "run", "--rm", "--no-deps", *options, "--entrypoint=sh", server, *shell
            )
        return site.finished(server, command, self.stack.environment(), stdin=stdin, stdout=stdout)
