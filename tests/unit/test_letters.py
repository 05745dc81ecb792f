"""What letters say and how they look, without a queue and without a mail server."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import msgspec
import pytest

from contracts.orders import CompensationStarted, Line, OrderConfirmed, OrderPlaced, OrderRejected, OrderShipped
from contracts.storefront import CustomerRegistered, PasswordChanged
from sagashop.effects import NOTHING, Effects, Rows, apply_to
from sagashop.jobs.job import Hopeless
from sagashop.messages import Envelope, Message
from sagashop.saga import Change, Status
from sagashop.settings import BadSetting
from services.notifications import store
from services.notifications.handlers import NEW_MS, make_handlers
from services.notifications.letters import Letter, LetterTo, news
from services.notifications.mail import compose, sender
from services.notifications.store import Customer

SHOP = "http://shop.example"
LINES = [Line(sku="MUG", quantity=2, price_cents=1490, name="Terra mug")]
CONFIRMED = OrderConfirmed(order_id="o1", customer_id="c1", lines=LINES, total_cents=2980)
SIGNED_UP_MS = 1_700_000_000_000


class House:
    """Notifications' rows in memory, and the letters that its decisions enqueue."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self._handlers = make_handlers()

    def hear(self, message: Message, *, time_ms: int = SIGNED_UP_MS) -> Effects:
        for key in self._handlers.keys(message):
            self.rows.setdefault(key, {})
        envelope = Envelope(message=message, id="x", time_ms=time_ms, producer="test")
        effects = self._handlers.decide(envelope, self.rows)
        apply_to(effects, self.rows)
        return effects


@pytest.fixture
def house() -> House:
    return House()


def customer(revision: int = 1) -> CustomerRegistered:
    return CustomerRegistered(
        customer_id="c1", revision=revision, name="Demo", email=f"{revision}@x.example", registered_ms=SIGNED_UP_MS
    )


def composed(letter: Letter, *, name: str = "Demo", email: str = "demo@sagashop.example", job: str = "j") -> Any:
    """The e-mail as it arrives."""
    to = Customer(name=name, email=email, revision=1)
    sent = compose(
        letter, to, job_id=job, queued_ms=SIGNED_UP_MS, origin=sender("shop@sagashop.example"), public_url=SHOP
    )
    return message_from_bytes(sent.as_bytes(), policy=default)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_an_order_is_written_about_with_its_lines_and_its_total(house: House) -> None:
    (job,) = house.hear(CONFIRMED).jobs
    assert (job.id, job.kind, job.priority) == ("o1.OrderConfirmed", "letter", "normal")
    todo = msgspec.json.decode(job.payload, type=LetterTo)
    assert todo.customer_id == "c1"
    message = composed(todo.letter)
    assert message["Subject"] == "Your order is confirmed"
    for kind in ("plain", "html"):
        text = part(message, kind)
        for wanted in ("Hello Demo,", "2 × Terra mug", "€29.80", f"{SHOP}/#/orders/o1"):
            assert wanted in text, (kind, wanted)


def test_the_same_event_again_enqueues_no_second_letter(house: House) -> None:
    assert len(house.hear(CONFIRMED).jobs) == 1
    assert house.hear(CONFIRMED) == NOTHING


def test_what_is_only_noticed_gets_no_letter(house: House) -> None:
    assert house.hear(OrderPlaced(order_id="o1", customer_id="c1", lines=LINES, total_cents=2980)).jobs == []


@pytest.mark.parametrize(("failed", "subject"), [("payment", "problem with your payment"), ("stock", "could not take")])
def test_a_refusal_is_urgent_and_says_what_the_matter_was(house: House, failed: str, subject: str) -> None:
    change = Change(failed, Status.REFUSED, note="some reason")
    house.hear(CompensationStarted(order_id="o1", reason="some reason", changes=[change]))
    (job,) = house.hear(OrderRejected(order_id="o1", customer_id="c1", reason="some reason")).jobs
    assert job.priority == "high"
    assert subject in job.payload
    assert "some reason" in job.payload


def test_a_changed_password_is_urgent_and_told_once_with_its_time(house: House) -> None:
    changed = PasswordChanged(customer_id="c1", changed_ms=SIGNED_UP_MS)
    (job,) = house.hear(changed).jobs
    assert house.hear(changed) == NOTHING
    assert (job.id, job.priority) == (f"c1.password-{SIGNED_UP_MS}", "high")
    message = composed(msgspec.json.decode(job.payload, type=LetterTo).letter)
    for kind in ("plain", "html"):
        assert "14 November 2023, 22:13 UTC" in part(message, kind)
        assert "href" not in part(message, kind), "nothing to click in a letter about a password"


def test_a_new_customer_is_greeted_once_and_an_old_one_who_is_republished_is_not(house: House) -> None:
    assert [job.id for job in house.hear(customer()).jobs] == ["c1.welcome"]
    assert house.hear(customer()) == NOTHING
    assert house.hear(customer(revision=2)).jobs == []
    late = House()
    assert late.hear(customer(), time_ms=SIGNED_UP_MS + NEW_MS).jobs == []
    assert CustomerRegistered(customer_id="c", revision=1, name="", email="").registered_ms == 0


def test_the_newest_address_is_kept(house: House) -> None:
    house.hear(customer(revision=2))
    assert house.hear(customer(revision=1)) == NOTHING
    (row,) = (house.rows[store.customers_key(store.share_of("c1"))],)
    assert store.read_customer(row["c1"]).email == "2@x.example"


def test_customers_are_spread_over_all_shares() -> None:
    assert {store.share_of(str(number)) for number in range(5_000)} == set(range(store.SHARES))


def test_a_job_done_twice_makes_the_same_mail_twice_and_another_job_another() -> None:
    letter = news("News", "Text")
    first, again, other = composed(letter, job="a"), composed(letter, job="a"), composed(letter, job="b")
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
    assert first["Message-ID"].endswith("@sagashop.example>")
    assert first["Date"] == again["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"


def test_what_people_call_themselves_cannot_become_markup_or_headers() -> None:
    letter = news("Mugs <b>& more", 'One <script>alert("x")</script>\n\nTwo')
    message = composed(letter, name='<img src=x onerror="x"> "Quoted", Ünï')
    html = part(message, "html")
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert html.count('<p style="margin:0 0 12px">') == 3, "greeting and two paragraphs"
    assert message["To"].addresses[0].display_name == '<img src=x onerror="x"> "Quoted", Ünï'
    assert str(message["Subject"]) == "Mugs <b>& more"


@pytest.mark.parametrize(
    ("name", "email", "subject"),
    [
        ("Demo\r\nBcc: all@x.example", "a@x.example", "News"),
        ("Demo", "a@x.example\r\nBcc: all@x.example", "News"),
        ("Demo", "no address", "News"),
        ("Demo", "", "News"),
        ("Demo", "a@x.example", "News\nBcc: all@x.example"),
    ],
)
def test_what_cannot_stand_in_a_header_fails_for_good(name: str, email: str, subject: str) -> None:
    with pytest.raises(Hopeless):
        composed(news(subject, "Text"), name=name, email=email)


def test_a_shipment_is_told_with_its_tracking_number(house: House) -> None:
    (job,) = house.hear(OrderShipped(order_id="o1", customer_id="c1", tracking="TRK7")).jobs
    assert "TRK7" in job.payload


def test_a_sender_that_is_no_address_is_refused_at_the_start() -> None:
    with pytest.raises(BadSetting, match="MAIL_FROM"):
        sender("Sagashop")
