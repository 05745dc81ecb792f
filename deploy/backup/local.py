"""The site of the local mode: servers are processes of this machine, their data folders below the stack's home."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.engine import make_url

from deploy.backup import mysql_store, site
from deploy.backup.mysql_store import MysqlStore
from deploy.backup.site import Store
from deploy.backup.sqlite_store import SqliteStore
from deploy.local import supervisor_client
from deploy.local.servers import SEARCH, rabbitmq_env
from deploy.local.service_env import service_env
from deploy.local.stack import Stack
from deploy.walls import SERVERS


class LocalSite:
    """A stack under supervisor."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self._home = stack, stack.layout.home
        self.env: Mapping[str, str] = stack.env
        self.url = stack.url
        self.sql = "mysql" if self.env["DATABASE_URL"].startswith(("mysql", "mariadb")) else "sqlite"

    @contextmanager
    def alone(self) -> Iterator[None]:
        with site.locked(self._home):
            yield

    def require_running(self) -> None:
        supervisor_client.require(self.stack.layout)

    def stop(self) -> None:
        self.stack.down()

    def start(self) -> None:
        self.stack.up()

    def database(self, service: str) -> Store:
        process = next(process for process in self.stack.processes if process.service == service)
        url = make_url(service_env(self.stack.layout, self.env, process)["DATABASE_URL"])
        if self.sql == "sqlite":
            return SqliteStore(self, service, Path(url.database or ""))
        login = {
            "MYSQL_HOST": url.host or "127.0.0.1",
            "MYSQL_PORT": str(url.port or 3306),
            "MYSQL_LOGIN": url.username or "",
            "MYSQL_PWD": url.password or "",
            "MYSQL_NAME": url.database or "",
        }
        return MysqlStore(self, service, login, self._home / "replaced-sql")

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
        folder = self._home if server == mysql_store.SERVER else self._home / server
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        env = {**os.environ, "PATH": SEARCH, **self._login(server), **(variables or {})}
        command = ["sh", "-euc", f"umask 077; {script}", "sh", *words]
        return site.finished(server, command, env, folder=folder, stdin=stdin, stdout=stdout)

    def _login(self, server: str) -> Mapping[str, str]:
        if server == "rabbitmq":
            return rabbitmq_env(self.stack.layout, self.env)
        for name, offset in SERVERS.items():
            if server == f"redis-{name.lower()}":
                password = self.env[f"REDIS_{name}_PASSWORD"]
                return {"REDISCLI_AUTH": password, "REDIS_PORT": str(int(self.env["PORT_BASE"]) + offset)}
        return {}
