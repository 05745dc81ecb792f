"""A real RabbitMQ for tests: a node of its own, set up as the local stack sets up its node."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pika

from deploy.local import dotenv, servers
from deploy.local.layout import Layout
from deploy.local.ports import find_free
from deploy.walls_rabbit import definitions
from tests.servers import STOP_DEADLINE_S, eventually

START_DEADLINE_S = 60.0


class RabbitServer:
    """A node on free ports, with the users of the stack. `settings`: of its application `rabbit`, as Erlang terms."""

    def __init__(self, home: Path, settings: str = "") -> None:
        self.layout = Layout(home)
        self.env = dotenv.ensure(home / ".env") | {"PORT_BASE": str(find_free("PORT_BASE"))}
        self._settings = settings
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return int(self.env["PORT_BASE"]) + 2

    def url(self, user: str = "", query: str = "") -> str:
        """As admin, or as a service."""
        return servers.rabbitmq_url(self.env, user) + query

    def start(self) -> RabbitServer:
        self.layout.make()
        servers.write(self.layout, self.env)
        (self.layout.home / "rabbitmq" / "advanced.config").write_text(f"[{{rabbit, [{self._settings}]}}].\n")
        log = (self.layout.home / "rabbitmq.log").open("ab")
        env = {"PATH": servers.SEARCH, "LANG": "C.UTF-8"} | servers.rabbitmq_env(self.layout, self.env)
        if self._epmd is None:
            port = str(int(self.env["PORT_BASE"]) + 4)
            self._epmd = subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", port], stdout=log, stderr=log)
            eventually(lambda: _listens(int(port)), START_DEADLINE_S)
        program = servers.executable("rabbitmq-server")
        self._node = subprocess.Popen([program], env=env, stdout=log, stderr=log)
        log.close()
        eventually(self._answers, START_DEADLINE_S, 0.1)
        return self

    @contextlib.contextmanager
    def settings(self, **changed: str) -> Iterator[None]:
        """The definitions of other settings, taken in while it runs, as a start takes them."""
        try:
            self._import(self.env | changed)
            yield
        finally:
            self._import(self.env)

    def _import(self, env: dict[str, str]) -> None:
        file = self.layout.home / "rabbitmq" / "changed.json"
        file.write_text(definitions(env))
        ctl = [servers.executable("rabbitmqctl"), "--quiet", "--timeout", "60", "import_definitions", str(file)]
        own = {"PATH": servers.SEARCH, "LANG": "C.UTF-8"} | servers.rabbitmq_env(self.layout, self.env)
        subprocess.run(ctl, env=own, check=True, capture_output=True, timeout=90)

    def kill(self) -> None:
        """End the node without warning, as a crash does."""
        assert self._node is not None
        self._node.kill()
        self._node.wait(STOP_DEADLINE_S)
        self._node = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections, takes new ones, and answers nothing."""
        assert self._node is not None
        self._node.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._node.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop the node gracefully; a stopped one is left alone."""
        if self._node is not None:
            self._node.send_signal(signal.SIGTERM)
            try:
                self._node.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._node = None

    def lose_data(self) -> None:
        """What a node that is down had on its disk is gone: messages, queues, everything."""
        assert self._node is None
        shutil.rmtree(self.layout.home / "rabbitmq" / "data")

    def end(self) -> None:
        """Stop the node and its port mapper."""
        self.stop()
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(STOP_DEADLINE_S)
            self._epmd = None

    @contextlib.contextmanager
    def channel(self, user: str = "") -> Iterator[Any]:
        """A blocking channel to look and meddle."""
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.url(user)))) as connection:
            yield connection.channel()

    def purge(self, queues: Iterable[str]) -> None:
        with self.channel() as channel:
            for queue in queues:
                channel.queue_purge(queue)

    def depth(self, queue: str) -> int:
        """Messages that wait in a queue."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)

    def _answers(self) -> bool:
        assert self._node is not None
        assert self._node.poll() is None, (self.layout.home / "rabbitmq.log").read_text()[-4000:]
        try:
            with self.channel():
                return True
        except (pika.exceptions.AMQPError, OSError):
            return False


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
