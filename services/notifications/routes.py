"""Notifications over HTTP: what customers were told, and the operator's newsletters."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, redirect
from msgspec import Meta, Struct

from sagashop.bus import Bus
from sagashop.errors import Forbidden, NotLoggedIn, Unavailable
from sagashop.web.auth import require_customer, require_login, require_operator
from sagashop.web.inputs import Answer, Input, accepts
from services.notifications.newsletters import Newsletters
from services.notifications.phone_routes import After
from services.notifications.store import Notice, notices_of
from services.notifications.wishes import BadLink, Wishes


class Status(Struct, frozen=True, kw_only=True):
    """What this service does."""

    service: str = "notifications"
    works: tuple[str, ...] = (
        "the last 50 notices about a customer's own orders, at /api/notifications/mine",
        "e-mail about orders, to new customers, and newsletters, over SMTP and a job queue",
        "phones: messages about the customer's orders and broadcasts, over RabbitMQ and a WebSocket",
    )


class Notices(Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: list[Notice]


NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"


class Newsletter(Input, frozen=True, kw_only=True):
    """`text` is plain; an empty line begins a paragraph."""

    subject: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_CONTROL)]
    text: Annotated[str, Meta(min_length=1, max_length=20_000)]


class Sending(Struct, frozen=True, kw_only=True):
    """A newsletter that goes out from now on."""

    newsletter_id: str


class Wish(Input, frozen=True, kw_only=True):
    """Whether newsletters are wanted."""

    wanted: bool


def notices(bus: Bus) -> Blueprint:
    """What customers were told."""
    routes = Blueprint("notices", __name__)

    @routes.get("/api/notifications/")
    @accepts(answers=Status)
    def status() -> Answer:
        return Status()

    @routes.get("/api/notifications/mine")
    @accepts(query=After, answers=Notices, problems=[NotLoggedIn])
    def mine(query: After) -> Answer:
        """The last 50; or, page by page, those of the last 1,000 after a number: a phone that has noticed a gap
        fetches them.
        """
        return Notices(items=notices_of(bus, require_login().user_id, query.after))

    return routes


def newsletters(desk: Newsletters) -> Blueprint:
    """Writing to all customers."""
    routes = Blueprint("newsletters", __name__)

    @routes.post("/api/notifications/newsletters")
    @accepts(json=Newsletter, answers={202: Sending}, problems=[NotLoggedIn, Forbidden, Unavailable])
    def send(json: Newsletter) -> Answer:
        """Send a newsletter to every customer, behind all other e-mail. Sent twice, it is another newsletter."""
        require_operator()
        return Sending(newsletter_id=desk.send(json.subject, json.text)), 202

    return routes


def wishes(said: Wishes) -> Blueprint:
    """Newsletters or none: with a log-in, or by the link in one."""
    routes = Blueprint("wishes", __name__)

    @routes.get("/api/notifications/newsletters/mine")
    @accepts(answers=Wish, problems=[NotLoggedIn, Forbidden])
    def mine() -> Answer:
        """Whether newsletters go to the customer who is logged in."""
        return Wish(wanted=said.wants(require_customer().user_id))

    @routes.put("/api/notifications/newsletters/mine")
    @accepts(json=Wish, answers=Wish, problems=[NotLoggedIn, Forbidden])
    def choose(json: Wish) -> Answer:
        """Have newsletters, or none. Repeating it changes nothing."""
        said.say(require_customer().user_id, wanted=json.wanted)
        return json

    @routes.post("/api/notifications/unsubscribe/<token>")
    @accepts(answers={204: None}, problems=[BadLink])
    def unsubscribe(token: str) -> Answer:
        """No more newsletters. Mail programs send this in the reader's name (RFC 8058); what is in it is ignored."""
        said.say(said.reader(token), wanted=False)
        return "", 204

    @routes.get("/api/notifications/unsubscribe/<token>")
    @accepts(answers={302: None}, problems=[BadLink])
    def ask(token: str) -> Answer:
        """For a reader who opens the link: a page that asks. Looking changes nothing, since scanners look, too."""
        said.reader(token)
        return redirect(f"/#/unsubscribe/{token}")

    return routes
