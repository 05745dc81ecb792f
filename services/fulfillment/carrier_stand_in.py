"""A carrier for trying things out, `python -m services.fulfillment.carrier_stand_in`: slow, and failing as told.

It stands for another company: it knows nothing of the shop, and shares nothing with it.

    POST   /bookings               {"shipment_id": …}: 201 {"tracking": …}; 200 for one it knows; 409 once cancelled
    DELETE /bookings/<shipment_id> 200; also for one that has not been booked yet, which is then refused
    GET    /admin                  how it behaves, and what it counted; PUT changes delay_s, failure_rate, down

Of the failures one half comes before the booking is noted and one half after it: an answer lost. The Idempotency-Key
tells it that a booking is a repetition; what it has noted is in a file, and outlives it.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click

from sagashop.process import stop_on_signals

Answer = tuple[int, dict[str, Any]]
TABLE = "CREATE TABLE IF NOT EXISTS bookings (id TEXT PRIMARY KEY, status TEXT NOT NULL, times INTEGER NOT NULL)"
NOTE = """INSERT INTO bookings VALUES (?, 'booked', 1) ON CONFLICT (id) DO UPDATE SET times = times + 1
          RETURNING status, times"""
CANCEL = "INSERT INTO bookings VALUES (?, 'cancelled', 0) ON CONFLICT (id) DO UPDATE SET status = 'cancelled'"
COUNT = "SELECT status, count(*), sum(times) FROM bookings GROUP BY status"


class Book:
    """Every booking, by its key. Thread-safe."""

    def __init__(self, file: str = ":memory:") -> None:
        self._lock = threading.Lock()
        self._sql = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute(TABLE)

    def book(self, key: str) -> Answer:
        """Note a booking, or find it."""
        with self._lock:
            status, times = self._sql.execute(NOTE, (key,)).fetchone()
        if status == "cancelled":
            return 409, {"title": "This booking was cancelled"}
        return 201 if times == 1 else 200, {"tracking": tracking_of(key)}

    def cancel(self, key: str) -> Answer:
        """Cancel a booking, or note that it must not come any more."""
        with self._lock:
            self._sql.execute(CANCEL, (key,))
        return 200, {"status": "cancelled"}

    def counts(self) -> dict[str, int]:
        """Bookings by status; `calls`: how often a booking arrived, the repetitions included."""
        with self._lock:
            rows = self._sql.execute(COUNT).fetchall()
        return {status: count for status, count, _ in rows} | {"calls": sum(times for _, _, times in rows)}


def tracking_of(key: str) -> str:
    """The number printed on the parcel: the same whenever it is asked for."""
    return "TRK" + hashlib.sha256(key.encode()).hexdigest()[:12].upper()


class Manners:
    """How it behaves. `down`: it answers 503 to everybody."""

    def __init__(self, delay_s: float, failure_rate: float) -> None:
        self.delay_s, self.failure_rate, self.down, self.seen = delay_s, failure_rate, False, 0
        self._dice = random.Random()  # noqa: S311 - decides who is unlucky, guards nothing

    def change(self, wanted: dict[str, Any]) -> None:
        for name in {"delay_s", "failure_rate", "down"} & wanted.keys():
            setattr(self, name, type(getattr(self, name))(wanted[name]))

    def unlucky(self) -> bool:
        """Whether this one goes wrong at one of two places."""
        return self.down or self._dice.random() < self.failure_rate / 2


def handler(book: Book, manners: Manners) -> type[BaseHTTPRequestHandler]:
    """What it answers."""

    class Desk(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            if self.path in {"/livez", "/readyz"}:
                return self._say(200, {"status": "ok"})
            if self.path == "/admin":
                told = {"delay_s": manners.delay_s, "failure_rate": manners.failure_rate, "down": manners.down}
                return self._say(200, {**told, "seen": manners.seen, **book.counts()})
            return self._say(404, {"title": "There is nothing here"})

        def do_PUT(self) -> None:
            manners.change(self._body())
            self._say(200, {"status": "changed"})

        def do_POST(self) -> None:
            body = self._body()
            key = self.headers.get("Idempotency-Key") or body.get("shipment_id")
            if self.path != "/bookings" or not isinstance(key, str):
                return self._say(422, {"title": "POST /bookings wants a shipment_id"})
            return self._badly(lambda: book.book(key))

        def do_DELETE(self) -> None:
            self._badly(lambda: book.cancel(self.path.rsplit("/", 1)[-1]))

        def _badly(self, do: Any) -> None:
            manners.seen += 1
            time.sleep(0 if manners.down else manners.delay_s)
            if manners.unlucky():
                return self._say(503, {"title": "Our system is busy"})
            status, answer = do()
            if manners.unlucky():
                return self._say(500, {"title": "Something went wrong; it may have been booked"})
            return self._say(status, answer)

        def _body(self) -> dict[str, Any]:
            try:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            except ValueError:
                return {}
            return body if isinstance(body, dict) else {}

        def _say(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds; a line for each helps nobody."""

    return Desk


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def carrying(host: str, port: int, book: Book, manners: Manners) -> Iterator[int]:
    """Take bookings while the block runs; gives the port."""
    server = _Server((host, port), handler(book, manners))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8090, show_default=True)
@click.option("--file", default=":memory:", show_default=True, help="Where its bookings are kept.")
@click.option("--delay-s", type=float, default=1.0, show_default=True, help="It takes so long for each answer.")
@click.option("--failure-rate", type=float, default=0.0, show_default=True, help="Share of calls that fail, 0 to 1.")
def main(host: str, port: int, file: str, delay_s: float, failure_rate: float) -> None:
    """Take bookings of parcels, slowly, and fail as told."""
    stopping = threading.Event()
    stop_on_signals(stopping)
    with carrying(host, port, Book(file), Manners(delay_s, failure_rate)):
        stopping.wait()


if __name__ == "__main__":
    main()
