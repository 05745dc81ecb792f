"""The mails that the mail catcher has, for the operator: this service asks it and shows what it says."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response
from msgspec import Struct

from sagashop.errors import Forbidden, NotFound, NotLoggedIn, Unavailable
from sagashop.web.auth import require_operator
from sagashop.web.inputs import Answer, accepts

TIMEOUT_S = (1.0, 2.0)
SANDBOX = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""A mail's HTML may look like something and do nothing: no scripts, no requests, no forms. Nginx says the same."""


class NoMail(NotFound):
    kind, title = "no-mail", "The mail catcher does not have this mail (any more)"


class NoCatcher(NotFound):
    kind, title = "no-mail-catcher", "E-mails of this stack go out, and no mail catcher has them"


class CaughtMail(Struct, frozen=True, kw_only=True):
    """A mail as it arrived; `copies`: how often it came."""

    id: str
    message_id: str
    sender: str = msgspec.field(name="from")
    to: str
    recipients: list[str]
    subject: str
    date: str
    received_ms: int
    copies: int


class OpenMail(CaughtMail, frozen=True, kw_only=True):
    """The same with its text; the HTML is at `/api/notifications/mails/<id>/html`."""

    text: str


class CaughtMails(Struct, frozen=True):
    """The last ones, newest first."""

    items: list[CaughtMail]


class _Contents(OpenMail, frozen=True, kw_only=True):
    html: str


class Catcher:
    """The mail catcher over HTTP. url: empty where there is none."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def mails(self) -> CaughtMails:
        return msgspec.convert(self._get("/mails"), CaughtMails)

    def mail(self, mail_id: str) -> _Contents:
        """Raises: NoMail."""
        if not mail_id.isalnum():
            raise NoMail
        return msgspec.convert(self._get(f"/mails/{mail_id}"), _Contents)

    def _get(self, path: str) -> Any:
        if not self._url:
            raise NoCatcher
        import requests  # when an operator first looks at the mails; this process has no other use for it

        try:
            answer = requests.get(self._url + path, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise Unavailable("The mail catcher does not answer. `make ps` shows the process `mail`.") from error
        if answer.status_code == 404:
            raise NoMail
        return answer.json()


def caught_mails(catcher: Catcher) -> Blueprint:
    """The caught mails. For the operator alone: they hold what was meant for customers."""
    routes = Blueprint("caught", __name__)
    operators_only = [NotLoggedIn, Forbidden, NoCatcher, Unavailable]

    @routes.get("/api/notifications/mails")
    @accepts(answers=CaughtMails, problems=operators_only)
    def mails() -> Answer:
        """The last 200 mails that the mail catcher took, newest first."""
        require_operator()
        return catcher.mails()

    @routes.get("/api/notifications/mails/<mail_id>")
    @accepts(answers=OpenMail, problems=[*operators_only, NoMail])
    def mail(mail_id: str) -> Answer:
        """One of them, with its text."""
        require_operator()
        found = catcher.mail(mail_id)
        return OpenMail(**{name: getattr(found, name) for name in OpenMail.__struct_fields__})

    @routes.get("/api/notifications/mails/<mail_id>/html")
    @accepts(problems=[*operators_only, NoMail])
    def html(mail_id: str) -> Answer:
        """Its HTML, in a sandbox."""
        require_operator()
        return Response(catcher.mail(mail_id).html, mimetype="text/html", headers={"Content-Security-Policy": SANDBOX})

    return routes
