"""An HTTP client that costs little, so that on two cores the shop is measured and not its visitor.

It knows one request: POST with a JSON body on a kept connection, answered with Content-Length.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BODY = b"\r\n\r\n"
NextRequest = Callable[[], bytes]


@dataclass
class Connection:
    """One kept connection with at most one request under way."""

    sock: socket.socket
    since: float = 0.0
    answer: bytearray = field(default_factory=bytearray)
    asked: bool = False
    closing: bool = False

    def send(self, request: bytes, since: float) -> None:
        self.since, self.asked = since, True
        self.answer.clear()
        self.sock.sendall(request)

    def receive(self) -> int | None:
        """The status of the answer once all of it is there; 0 where the server closed the connection."""
        chunk = self.sock.recv(65536)
        if not chunk:
            return 0
        self.answer += chunk
        head_end = self.answer.find(BODY)
        if head_end < 0:
            return None
        head = bytes(self.answer[:head_end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        self.closing = b"connection: close" in head
        if len(self.answer) < head_end + len(BODY) + length:
            return None
        self.asked = False
        return int(head[9:12])


@dataclass
class Result:
    """What came of a run: answers by status, latencies in ms (from the intended send time), and how long it took."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    took_s: float = 0.0
    began_ms: float = 0.0

    def rate(self, status: int) -> float:
        """Answers of this status per second."""
        return self.statuses[status] / self.took_s


def requests_to(url: str, path: str, cookies: list[str], body: bytes, keys: Iterator[str]) -> Iterator[bytes]:
    """Requests in turn for each cookie, each with an idempotency key of its own."""
    host = urlsplit(url).netloc
    heads = [
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nCookie: {cookie}\r\n"
        f"Content-Length: {len(body)}\r\nIdempotency-Key: "
        for cookie in cookies
    ]
    while True:
        for head in heads:
            yield head.encode() + next(keys).encode() + BODY + body


def closed_loop(url: str, requests: Iterator[bytes], *, connections: int, seconds: float) -> Result:
    """Each connection sends its next request when it has its answer: how many can be taken at all."""
    with Pool(url, connections) as pool:
        started = time.perf_counter()
        for connection in pool.connections:
            connection.send(next(requests), time.perf_counter())
        end, busy, result = started + seconds, connections, Result()
        while busy:
            for connection, status in pool.answers(1.0):
                pool.note(result, connection, status)
                if time.perf_counter() < end:
                    connection.send(next(requests), time.perf_counter())
                else:
                    busy -= 1
            if time.perf_counter() > end + 30:
                break
        result.took_s = time.perf_counter() - started
        return result


def open_loop(url: str, requests: Iterator[bytes], *, rate: float, seconds: float, connections: int = 64) -> Result:
    """Requests start at fixed times whether earlier ones are answered or not; latency counts from the intended time."""
    with Pool(url, connections) as pool:
        idle, result = list(pool.connections), Result()
        started, result.began_ms = time.perf_counter(), time.time() * 1000
        total, sent = int(rate * seconds), 0
        while sent < total or len(idle) < connections:
            due = started + sent / rate
            now = time.perf_counter()
            if sent < total and now >= due and idle:
                idle.pop().send(next(requests), due)
                sent += 1
                continue
            wait_s = max(0.0, due - now) if sent < total else 1.0
            for connection, status in pool.answers(min(wait_s, 0.05)):
                pool.note(result, connection, status)
                idle.append(connection)
            if now > started + seconds + 30:
                break
        result.took_s = time.perf_counter() - started
        return result


class Pool:
    """Connections of one run, watched together."""

    def __init__(self, url: str, connections: int) -> None:
        self._address = (urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 80)
        self._count = connections
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Pool:
        self.connections = [self._connect() for _ in range(self._count)]
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.sock.close()
        self._selector.close()

    def _connect(self) -> Connection:
        connection = Connection(self._socket())
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        return connection

    def _socket(self) -> socket.socket:
        sock = socket.create_connection(self._address, timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def answers(self, within_s: float) -> Iterator[tuple[Connection, int]]:
        """Whole answers that are there by then. An idle connection that the server closes is opened again."""
        for key, _ in self._selector.select(within_s):
            connection: Connection = key.data
            asked, status = connection.asked, connection.receive()
            if status == 0:
                self._reopen(connection)
            if status is not None and asked:
                yield connection, status

    def note(self, result: Result, connection: Connection, status: int) -> None:
        """Count an answer. Nginx closes a connection after 1,000 of them."""
        result.statuses[status] += 1
        result.latencies_ms.append((time.perf_counter() - connection.since) * 1000)
        if connection.closing:
            self._reopen(connection)

    def _reopen(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()
        connection.sock, connection.asked, connection.closing = self._socket(), False, False
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
