"""Newsletters go to those who want them, and each can be the last one with one click."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from sagashop import redis_clients
from sagashop.sessions import Sessions
from services.notifications.app import create
from services.notifications.catcher import Mailbox, Receiver
from services.notifications.wishes import BadLink, Wishes
from tests.integration.mail_house import MailHouse, mail_house, smtp_server, somebody

pytestmark = pytest.mark.feature("F31")
ONE_CLICK = {"data": "List-Unsubscribe=One-Click", "content_type": "application/x-www-form-urlencoded"}


@pytest.fixture
def house(redis_ledger: str, redis_session: str) -> Iterator[MailHouse]:
    with mail_house(redis_ledger, redis_session) as house:
        house.hear(*(somebody(number, registered_ms=0) for number in (1, 2)))
        yield house


def browser(house: MailHouse, user: str = "", role: Any = "customer") -> FlaskClient:
    client = create(house.settings).test_client()
    if user:
        sessions = Sessions(redis_clients.session(house.settings))
        client.set_cookie("sagashop_session", sessions.create(user, "Demo", role))
    return client


class Keeping(Receiver):
    """Keeps the e-mails as they came, by recipient; the newest."""

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__(mailbox)
        self.mails: dict[str, Any] = {}

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails[envelope.rcpt_tos[0].partition(".")[0]] = message_from_bytes(envelope.content, policy=default)
        return await super().handle_DATA(server, session, envelope)


def send(house: MailHouse, subject: str, smtp_url: str = "") -> list[str]:
    """Who got this newsletter."""
    house.newsletters.send(subject, "Come and see.")
    mailer = house.mailer(smtp_url)
    while mailer.step(0.01):
        pass
    return sorted(to.partition(".")[0] for to, each in house.mails() if each == subject)


def test_one_click_in_the_mail_program_stops_newsletters_without_a_log_in(house: MailHouse) -> None:
    with smtp_server(keeping := Keeping(house.mailbox)) as url:
        assert send(house, "First", url) == ["c1", "c2"]
    mail = keeping.mails["c1"]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = urlsplit(mail["List-Unsubscribe"].strip("<>"))
    stranger = browser(house)
    looked = stranger.get(link.path)
    assert (looked.status_code, looked.headers["Location"]) == (302, f"/#/unsubscribe/{link.path.rpartition('/')[2]}")
    assert send(house, "Second") == ["c1", "c2"], "looking at the link changes nothing"
    for _ in range(2):
        assert stranger.post(link.path, **ONE_CLICK).status_code == 204
    assert send(house, "Third") == ["c2"]
    for kind in ("plain", "html"):
        assert f"/#/unsubscribe/{link.path.rpartition('/')[2]}" in mail.get_body((kind,)).get_content()


def test_a_customer_chooses_on_the_account_page_and_may_change_their_mind(house: MailHouse) -> None:
    here, where = browser(house, "c1"), "/api/notifications/newsletters/mine"
    assert here.get(where).json == {"wanted": True}
    assert here.put(where, json={"wanted": False}).json == {"wanted": False}
    assert here.get(where).json == {"wanted": False}
    assert send(house, "First") == ["c2"]
    here.put(where, json={"wanted": True})
    assert send(house, "Second") == ["c1", "c2"]
    assert browser(house).get(where).status_code == 401
    assert browser(house, "op", "operator").put(where, json={"wanted": False}).status_code == 403
    assert here.put(where, json={"wanted": False}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_who_says_no_while_a_newsletter_goes_out_does_not_get_it(house: MailHouse) -> None:
    newsletter, mailer = house.newsletters.send("First", "Come and see."), house.mailer()
    while house.queue.get(f"newsletter.{newsletter}.c1") is None:
        mailer.step(0.01)
    assert "c1" not in readers(house)
    Wishes(house.redis, "").say("c1", wanted=False)
    while mailer.step(0.01):
        pass
    assert readers(house) == {"c2"}


def readers(house: MailHouse) -> set[str]:
    return {to.partition(".")[0] for to, _ in house.mails()}


@pytest.mark.parametrize("token", ["", "c1", "c1.", ".", "c1.0000", "c2.{signature}", "c1.{signature}0", "ä.ö"])
def test_a_link_that_is_not_ours_changes_nothing(house: MailHouse, token: str) -> None:
    wishes = Wishes(house.redis, house.settings.mail_secret)
    forged = token.replace("{signature}", wishes.token("c1").partition(".")[2])
    with pytest.raises(BadLink):
        wishes.reader(forged)
    with pytest.raises(BadLink):
        Wishes(house.redis, "").reader(wishes.token("c1"))
    assert wishes.reader(wishes.token("c1")) == "c1"
    if token:
        answer = browser(house).post(f"/api/notifications/unsubscribe/{forged}", **ONE_CLICK)
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert wishes.wants("c1")


def test_letters_about_orders_and_the_account_have_no_such_link(house: MailHouse) -> None:
    house.hear(somebody(3))
    with smtp_server(keeping := Keeping(house.mailbox)) as url:
        house.mailer(url).step()
    mail = keeping.mails["c3"]
    assert (mail["Subject"], mail["List-Unsubscribe"]) == ("Welcome to Sagashop", None)
    assert "unsubscribe" not in mail.get_body(("html",)).get_content()
