"""Real servers for tests: each on a free loopback port, in a directory of its own, stopped by its own process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import redis

START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 10.0

T = TypeVar("T")


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(ask: Callable[[], T], deadline_s: float = 10.0, every_s: float = 0.02) -> T:
    """Ask until the answer is truthy, and return it; the assertion fails with the last answer at the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {deadline_s} s; the last answer was {answer!r}"
        time.sleep(every_s)


class RedisServer:
    """A redis-server of the test's own. `durable` keeps its data over stop and start, as the ledger does."""

    def __init__(self, directory: Path, *options: str, durable: bool = False) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = [*options, *(["--appendfsync", "always"] if durable else [])]
        self._appendonly = "yes" if durable else "no"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        """Start it and wait until it answers."""
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed; `apt-get install redis-server`"
        self.directory.mkdir(parents=True, exist_ok=True)
        fixed = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", self._appendonly]
        with (self.directory / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(
                [program, *fixed, "--dir", str(self.directory), *self._options], stdout=output, stderr=output
            )
        eventually(self._answers, START_DEADLINE_S)
        return self

    def stop(self) -> None:
        """Stop it; kill it where it does not stop in time. A stopped one is left alone."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_DEADLINE_S)
        self._process = None

    def kill(self) -> None:
        """End it without warning, as a crash does."""
        assert self._process is not None
        self._process.kill()
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

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True, protocol=2)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "redis.log").read_text()
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
