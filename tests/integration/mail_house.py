"""Notifications with its mailer inside a test, and SMTP servers with moods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller

from contracts.storefront import CustomerRegistered
from sagashop import redis_clients
from sagashop.bus import connect_bus
from sagashop.jobs.holder import Holder
from sagashop.jobs.queue import JobQueue
from sagashop.jobs.worker import JobWorker
from sagashop.messages import Message, now_ms
from services.notifications.catcher import Mailbox, Receiver, catching
from services.notifications.handlers import make_handlers
from services.notifications.mailer import Mailer
from services.notifications.newsletters import Newsletters
from services.notifications.settings import NotificationsSettings
from tests.integration.rigs import sealed, working
from tests.servers import eventually, free_port


class MailHouse:
    """One notifications, its queue, and the mailbox that its e-mails end in."""

    def __init__(self, ledger: str, session: str, smtp_port: int, http_port: int, mailbox: Mailbox) -> None:
        self.settings = NotificationsSettings(
            redis_ledger_url=ledger, redis_session_url=session, smtp_url=f"smtp://127.0.0.1:{smtp_port}",
            mail_catcher_url=f"http://127.0.0.1:{http_port}", mail_attempts=3, mail_backoff_s=0.05,
            mail_timeout_s=2, visibility_s=0.5, mail_secret="a secret of the test",
        )  # fmt: skip
        self.mailbox, self.bus = mailbox, connect_bus(self.settings)
        self.redis = redis_clients.ledger(self.settings)
        self.queue = JobQueue("notifications", self.redis)
        self.newsletters = Newsletters(self.redis, self.queue)

    def mailer(self, smtp_url: str = "", **other: Any) -> JobWorker:
        settings = self.settings if not smtp_url else _elsewhere(self.settings, smtp_url=smtp_url, **other)
        mailer, policy = Mailer(settings, self.redis, self.queue), settings.policy
        holder = Holder(self.queue, "mailer", policy, blocking=redis_clients.blocking(settings))
        return JobWorker(holder, mailer.handlers, policy, at_rest=mailer.postman.close)

    def hear(self, *messages: Message) -> None:
        """Let the worker handle these messages, and return when it has."""
        with working("notifications", make_handlers(), self.settings):
            self.bus.publish(sealed(messages))
            channels = {"{0}:" + message.channel.replace(".", ":") for message in messages}
            eventually(lambda: all(self._read(stream) for stream in channels))

    def _read(self, stream: str) -> bool:
        groups: Any = self.redis.xinfo_groups(stream)
        return all((group["lag"], group["pending"]) == (0, 0) for group in groups)

    def mails(self) -> list[tuple[str, str]]:
        """(recipient, subject), oldest first."""
        return [(mail["recipients"][0], mail["subject"]) for mail in self.mailbox.newest(1000)[::-1]]


def _elsewhere(settings: NotificationsSettings, **other: Any) -> NotificationsSettings:
    given = {name: getattr(settings, name) for name in NotificationsSettings.__struct_fields__}
    return NotificationsSettings(**{**given, **other})


def somebody(number: int = 1, *, registered_ms: int | None = None, revision: int = 1) -> CustomerRegistered:
    when = now_ms() if registered_ms is None else registered_ms
    return CustomerRegistered(
        customer_id=f"c{number}", revision=revision, name=f"Customer {number}",
        email=f"c{number}.r{revision}@sagashop.example", registered_ms=when,
    )  # fmt: skip


@contextmanager
def mail_house(ledger: str, session: str) -> Iterator[MailHouse]:
    mailbox, smtp_port, http_port = Mailbox(1000), free_port(), free_port()
    with catching("127.0.0.1", smtp_port, http_port, mailbox):
        yield MailHouse(ledger, session, smtp_port, http_port, mailbox)


class Moody(Receiver):
    """Answers each mail with the next of these, and takes what comes after the last."""

    def __init__(self, mailbox: Mailbox, answers: list[str]) -> None:
        super().__init__(mailbox)
        self._answers = answers

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        taken = await super().handle_DATA(server, session, envelope) if not self._answers else ""
        return taken or self._answers.pop(0)


class Listing(Moody):
    """Lists the connection that each mail came through."""

    def __init__(self, mailbox: Mailbox, answers: list[str]) -> None:
        super().__init__(mailbox, answers)
        self.callers: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.callers.append(session.peer)
        return await super().handle_DATA(server, session, envelope)


@contextmanager
def smtp_server(handler: Receiver, port: int = 0, **options: Any) -> Iterator[str]:
    """An SMTP server of the test's own; its URL."""
    port = port or free_port()
    server = Controller(handler, hostname="127.0.0.1", port=port, **options)
    server.start()
    try:
        yield f"smtp://127.0.0.1:{port}"
    finally:
        server.stop()
