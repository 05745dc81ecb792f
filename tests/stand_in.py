"""A service that is not one: says on $PORT or $HEALTH_PORT what it was asked. For tests of what is around services."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT") or os.environ["HEALTH_PORT"])


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.headers.get("X-Die-On") == str(PORT):
            os._exit(1)  # with the request taken and no answer given
        said = {"port": PORT, "method": self.command, "path": self.path}
        text = json.dumps(
            said | {"headers": {name.lower(): value for name, value in self.headers.items()}, "body": body}
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names it has above

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has above
        pass


if __name__ == "__main__":
    ThreadingHTTPServer((os.environ["BIND_HOST"], PORT), Echo).serve_forever()
