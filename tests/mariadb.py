"""Servers of SQL. A MariaDB of the tests' own is what `RedisServer` is for Redis: free port, own directory, own pid."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from tests.servers import START_DEADLINE_S, STOP_DEADLINE_S, eventually, free_port

SMALL = (
    *("--skip-log-bin", "--performance-schema=off", "--skip-name-resolve", "--max-connections=60"),
    *("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=2"),
)
"""It survives its own crash, not one of the machine; no test cuts the power."""


def program(name: str) -> str:
    """Where this program of MariaDB's lies; the test fails where it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")
    assert found, f"{name} is not installed; `make test-servers` installs mariadb-server for the tests"
    return found


class SqlServer:
    """A MariaDB or MySQL that answers at an address, and what root does there for tests."""

    def __init__(self, address: str, password: str = "") -> None:
        self.address, self._password = address, password
        self._numbers = itertools.count(1)

    def execute(self, *statements: str) -> list[sa.Row[tuple[object, ...]]]:
        """Run statements as root; the rows of the last one, where it has rows."""
        engine = sa.create_engine(self.url("", "root"), poolclass=sa.NullPool)
        with engine.connect() as conn:
            for statement in statements:
                found = conn.exec_driver_sql(statement.replace("%", "%%"))
            return list(found.all()) if found.returns_rows else []

    def new_database(self) -> str:
        """An empty database, made as a server makes it unless told otherwise; its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name, "root")

    def url(self, database: str, user: str) -> str:
        password = f":{quote(self._password, safe='')}" if self._password else ""
        return f"mysql+pymysql://{user}{password}@{self.address}/{database}"


class MariaDbServer(SqlServer):
    """A mariadbd; its data outlive stop and start. Root needs no password."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory, self.port, self._options = directory, free_port(), options
        super().__init__(f"127.0.0.1:{self.port}")
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = Path(tempfile.mkdtemp(prefix="mariadb-"))  # a socket's path may have about 100 characters

    def start(self) -> MariaDbServer:
        """Start it and wait until it answers."""
        daemon, install = program("mariadbd"), program("mariadb-install-db")
        data = [f"--datadir={self.directory / 'data'}", *(["--user=root"] if os.getuid() == 0 else [])]
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "mariadb.log").open("ab") as output:
            if not (self.directory / "data").exists():
                made = [install, "--no-defaults", *data, "--auth-root-authentication-method=normal", "--skip-test-db"]
                subprocess.run(made, stdout=output, stderr=output, check=True, timeout=60)
            place = ["--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self._sockets / 's'}"]
            self._process = subprocess.Popen(
                [daemon, "--no-defaults", *data, *place, *SMALL, *self._options], stdout=output, stderr=output
            )
        eventually(self._answers, START_DEADLINE_S)
        return self

    def stop(self) -> None:
        """Stop it; kill it where it does not stop in time. A stopped one is left alone."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_DEADLINE_S)
        self._process = None

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def kill(self) -> None:
        """End it without warning, as a crash does."""
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait(STOP_DEADLINE_S)
        self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "mariadb.log").read_text()
        try:
            return bool(self.execute("SELECT 1"))
        except sa.exc.OperationalError:
            return False
