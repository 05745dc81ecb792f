"""One WebSocket connection, inside a request of gunicorn's gevent worker.

    socket = WebSocket.accept(largest_bytes=1024, per_second=200, silent_s=25)
    while (text := socket.receive()) is not None: ...

Everything is bounded: the size of a message, how fast the other side is read, how long it may be silent. It is read no
faster than that, so one who floods waits by itself. A connection is not compressed: each would take 300 KB for that.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from sagashop.errors import Problem
from sagashop.web.app import CrossOrigin

READ_BYTES = 4096
NORMAL, GOING_AWAY, PROTOCOL_ERROR, NOT_TEXT, POLICY, TOO_BIG, TRY_AGAIN = 1000, 1001, 1002, 1003, 1008, 1009, 1013
"""Close codes of RFC 6455 and its registry; 4000 to 4999 are for the application."""


class NotAWebSocket(Problem):
    kind, status, title = "not-a-websocket", 426, "Connect with a WebSocket here"


class Closed(Exception):
    """The connection is over."""


class Served(Response):
    """What a view returns after its WebSocket is over: gunicorn closes the connection and sends nothing more."""

    def __init__(self) -> None:
        super().__init__(status=101)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        raise StopIteration


class WebSocket:
    """A connection; one thread (or greenlet) receives, any may send and close.

    largest_bytes: of a message that comes in
    per_second:    frames that are read
    silent_s:      after so long without a word the other side is pinged, and given up after as long again; a message
                   that cannot be sent within that time ends the connection, too
    """

    def __init__(self, connection: Any, protocol: WSConnection, *, largest_bytes: int, per_second: int,
                 silent_s: float) -> None:  # fmt: skip
        self._socket, self._protocol = connection, protocol
        self._largest_bytes, self._per_second = largest_bytes, per_second
        self._lock = threading.Lock()
        self._texts, self._part = deque[str](), ""
        self._pinged = self._over = False
        self._second, self._frames = 0.0, 0
        connection.settimeout(silent_s)

    @classmethod
    def accept(cls, *, largest_bytes: int, per_second: int, silent_s: float) -> WebSocket:
        """Take over the connection of the current request.

        Raises:
            NotAWebSocket: the request does not ask for one
            CrossOrigin:   a page of another site asks for it in our visitor's name
        """
        refuse_other_origin()
        protocol = WSConnection(ConnectionType.SERVER)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
        connection = request.environ.get("gunicorn.socket")
        try:
            protocol.initiate_upgrade_connection(headers, request.path)
            protocol.events().__next__()
            answer = protocol.send(ws.AcceptConnection())
        except (RemoteProtocolError, LocalProtocolError, StopIteration) as wrong:
            raise NotAWebSocket(str(wrong), headers={"Upgrade": "websocket"}) from wrong
        if connection is None:
            raise NotAWebSocket("This process cannot serve one.")
        made = cls(connection, protocol, largest_bytes=largest_bytes, per_second=per_second, silent_s=silent_s)
        made._write(answer)
        return made

    def receive(self) -> str | None:
        """The next message; None when the other side was silent and has been pinged.

        Raises:
            Closed: it is over
        """
        while not self._texts:
            if self._over:
                raise Closed
            try:
                data = self._socket.recv(READ_BYTES)
            except TimeoutError:
                self._ping()
                return None
            except OSError as gone:
                raise Closed from gone
            if not data:
                raise Closed
            self._take(data)
        return self._texts.popleft()

    def send(self, text: str) -> None:
        """Raises: Closed, when the other side is gone or does not read."""
        try:
            with self._lock:
                self._write(self._protocol.send(ws.TextMessage(text)))
        except LocalProtocolError as over:
            raise Closed from over

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye; whoever receives learns that it is over when the other side has answered, or is silent."""
        with suppress(LocalProtocolError, Closed), self._lock:
            self._write(self._protocol.send(ws.CloseConnection(code, reason)))
        self._over = True

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as gone:
            self._over = True
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes who receives
            raise Closed from gone

    def _ping(self) -> None:
        if self._pinged:
            self.close(GOING_AWAY, "silent for too long")
            raise Closed
        self._pinged = True
        try:
            with self._lock:
                self._write(self._protocol.send(ws.Ping()))
        except LocalProtocolError as over:
            raise Closed from over

    def _take(self, data: bytes) -> None:
        self._pinged = False
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                self._pace()
                self._hear(event)
        except RemoteProtocolError as wrong:
            self.close(PROTOCOL_ERROR, str(wrong)[:100])

    def _hear(self, event: ws.Event) -> None:
        match event:
            case ws.TextMessage(data=text, message_finished=finished):
                self._part += text
                if len(self._part) > self._largest_bytes:
                    self.close(TOO_BIG, f"at most {self._largest_bytes} bytes")
                elif finished:
                    self._texts.append(self._part)
                    self._part = ""
            case ws.BytesMessage():
                self.close(NOT_TEXT, "text only")
            case ws.Ping() | ws.CloseConnection():
                with suppress(LocalProtocolError, Closed), self._lock:
                    self._write(self._protocol.send(event.response()))
                self._over = self._over or isinstance(event, ws.CloseConnection)

    def _pace(self) -> None:
        """Let the second pass in which as many frames came as may; meanwhile the other side cannot send much more."""
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        self._frames += 1
        if self._frames > self._per_second:
            time.sleep(max(0.0, self._second + 1 - now))


def refuse_other_origin() -> None:
    """A browser opens a WebSocket to any site with that site's cookie, and says from which page. Programs say nothing.

    Raises:
        CrossOrigin: the page is not ours
    """
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise CrossOrigin
