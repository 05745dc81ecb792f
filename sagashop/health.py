"""Health of a process without a web server of its own: `/livez` and `/readyz`, from the age of its last loop."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

READY_WITHIN_S = 10.0
ALIVE_WITHIN_S = 60.0
"""A loop that has not come round for so long hangs; a broker that is away makes a worker unready, not dead."""


class Pulse:
    """When the loop last came round. Not ready before the first beat."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last: float | None = None

    def beat(self) -> None:
        self._last = time.monotonic()

    @property
    def age_s(self) -> float:
        """Seconds since the last beat, or since the start where there was none."""
        return time.monotonic() - (self._last if self._last is not None else self._started)

    def status(self, path: str) -> int:
        """HTTP status for `/livez` or `/readyz`."""
        if path == "/livez":
            return 200 if self.age_s < ALIVE_WITHIN_S else 503
        if path == "/readyz":
            return 200 if self._last is not None and self.age_s < READY_WITHIN_S else 503
        return 404


@contextmanager
def serve_health(host: str, port: int, pulse: Pulse) -> Iterator[int]:
    """Answer health requests in a thread while the block runs; gives the port. Port 0 serves nothing."""
    if not port:
        yield 0
        return

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = pulse.status(self.path)
            body = json.dumps({"ok": status == 200, "loop_age_s": round(pulse.age_s, 3)}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            with suppress(ConnectionError):  # a probe that has read the status may be gone
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds; a line for each helps nobody."""

    server = ThreadingHTTPServer((host, port), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
