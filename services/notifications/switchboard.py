"""The gateway's one connection to RabbitMQ, with a line for each phone that is connected."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sagashop.errors import NotReachable, Unavailable
from sagashop.rabbit.connection import Connection
from sagashop.rabbit.topology import declare
from services.notifications.line import Line
from services.notifications.mobile import EXCHANGES

WHO = "notifications gateway"


class Switchboard:
    """The one connection. Lines end when it is lost, and phones come again; it comes back by itself."""

    def __init__(self, url: str, limit: int) -> None:
        self._connection = Connection(url, WHO, self._opened, lost=self._lost,
                                      before=lambda: declare(url, WHO, EXCHANGES))  # fmt: skip
        self._limit, self._lines = limit, set[Line]()
        self._pika: Any = None
        self._started = False  # under gevent a thread that lives may say that it does not
        self._todo, self._called = deque[Callable[[], None]](), False

    def __len__(self) -> int:
        return len(self._lines)

    def ready(self, within_s: float = 1.0) -> None:
        """Connect, the first time.

        Raises:
            NotReachable: there is no connection within so many seconds
        """
        if not self._started:
            self._started = True
            self._connection.start()
        self._connection.wait_open(within_s)

    def connect(self, line: Line) -> None:
        """Open a line. Raises as `Line.open`."""
        if len(self._lines) >= self._limit:
            raise Unavailable("Too many phones are connected here.", retry_after_s=10)
        self.ready()
        self._lines.add(line)
        try:
            self.soon(lambda: line.begin(self._pika))
        except NotReachable:
            self._lines.discard(line)
            raise

    def disconnect(self, line: Line) -> None:
        """Close a line; it says so in `closed`. Without a connection it is closed already."""
        self._lines.discard(line)
        try:
            self.soon(line.finish)
        except NotReachable:
            line.closed.set()

    def soon(self, work: Callable[[], None]) -> None:
        """Let the connection's thread do this. It is woken once for all that gathers meanwhile.

        Raises:
            NotReachable: there is no connection; what was handed over just before it was lost is forgotten
        """
        self._todo.append(work)
        if not self._called:
            self._called = True
            try:
                self._connection.call(self._work)
            except NotReachable:
                self._called = False
                raise

    def close(self) -> None:
        self._connection.close()

    def _work(self) -> None:
        self._called = False
        while self._todo:
            self._todo.popleft()()

    def _opened(self, connection: Any) -> None:
        self._pika = connection
        self._todo.clear()  # it belonged to the connection before
        self._called = False

    def _lost(self, why: BaseException) -> None:
        lines, self._lines = self._lines, set()
        for line in lines:
            line.broken()
