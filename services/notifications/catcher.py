"""A mail catcher, `python -m services.notifications.catcher`: takes every e-mail, delivers none, shows the last ones.

It is the SMTP server of a stack for trying things out. It keeps the last mails in memory and needs nothing else: mails
come in over SMTP, and go out as JSON at `/mails` and `/mails/<id>` for the service that shows them. A mail that comes
again, by its Message-ID, is kept once and counted, as mailboxes do it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click
from aiosmtpd.controller import Controller

from sagashop.messages import now_ms
from sagashop.process import stop_on_signals

KEPT = 200
LARGEST_BYTES = 256 * 1024
"""200 mails of this size are 50 MiB, and ours have 5 KiB."""

Mail = dict[str, Any]
_headers = BytesHeaderParser(policy=default)


class Mailbox:
    """The last mails, by their id. Thread-safe."""

    def __init__(self, kept: int = KEPT) -> None:
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        self._lock, self._kept = threading.Lock(), kept

    def put(self, content: bytes, recipients: list[str]) -> None:
        """Keep a mail, or count it where it has come before."""
        mail = looked_at(content, recipients)
        with self._lock:
            before = self._mails.pop(mail["id"], None)
            mail["copies"] = before["copies"] + 1 if before else 1
            self._mails[mail["id"]] = mail
            while len(self._mails) > self._kept:
                self._mails.popitem(last=False)

    def newest(self, limit: int) -> list[Mail]:
        """Without their contents."""
        with self._lock:
            last = list(self._mails.values())[::-1][:limit]
        return [_without_content(mail) for mail in last]

    def get(self, mail_id: str) -> Mail | None:
        """One mail with its text and its HTML; opened only now, since most are never read."""
        with self._lock:
            mail = self._mails.get(mail_id)
        if mail is None:
            return None
        message: Any = message_from_bytes(mail["content"], policy=default)
        return {**_without_content(mail), "text": _part(message, "plain"), "html": _part(message, "html")}


def looked_at(content: bytes, recipients: list[str]) -> Mail:
    """A mail with what its headers say. The id follows from the Message-ID and who gets it."""
    message = _headers.parsebytes(content)
    message_id = str(message["Message-ID"] or hashlib.sha256(content).hexdigest())
    name = hashlib.sha256("\n".join([message_id, *sorted(recipients)]).encode()).hexdigest()[:32]
    headers = {part: str(message[part] or "") for part in ("from", "to", "subject", "date")}
    known = {"id": name, "message_id": message_id, "recipients": recipients, "received_ms": now_ms()}
    return {**known, **headers, "content": content}


def _without_content(mail: Mail) -> Mail:
    return {name: value for name, value in mail.items() if name != "content"}


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part else ""


class Receiver:
    """aiosmtpd's handler."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self._mailbox.put(envelope.content, list(envelope.rcpt_tos))
        return "250 Caught"


def handler(mailbox: Mailbox) -> type[BaseHTTPRequestHandler]:
    """What the catcher answers over HTTP."""

    class Answer(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.strip("/").split("/")
            if path in (["livez"], ["readyz"]):
                self._say(200, {"status": "ok"})
            elif path == ["mails"]:
                self._say(200, {"items": mailbox.newest(KEPT)})
            elif len(path) == 2 and path[0] == "mails" and (mail := mailbox.get(path[1])):
                self._say(200, mail)
            else:
                self._say(404, {"title": "There is nothing here"})

        def _say(self, status: int, answer: Mail) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds; a line for each helps nobody."""

    return Answer


@contextmanager
def catching(host: str, smtp_port: int, http_port: int, mailbox: Mailbox) -> Iterator[None]:
    """Catch while the block runs."""
    http = ThreadingHTTPServer((host, http_port), handler(mailbox))
    http.daemon_threads = True
    smtp = Controller(Receiver(mailbox), hostname=host, port=smtp_port, data_size_limit=LARGEST_BYTES)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    try:
        smtp.start()
        yield
    finally:
        smtp.stop(no_assert=True)
        http.shutdown()
        http.server_close()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--smtp-port", type=int, default=1025, show_default=True)
@click.option(
    "--http-port", type=int, default=8025, show_default=True, help="Health, and the mails for who shows them."
)
def main(host: str, smtp_port: int, http_port: int) -> None:
    """Take every e-mail over SMTP, deliver none, and show the last ones."""
    stopping = threading.Event()
    stop_on_signals(stopping)
    with catching(host, smtp_port, http_port, Mailbox()):
        stopping.wait()


if __name__ == "__main__":
    main()
