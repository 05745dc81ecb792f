"""E-mail from the event to the mailbox: a real Redis, real SMTP, and what goes wrong between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from contracts.orders import CompensationStarted, Line, OrderConfirmed, OrderRejected, OrderShipped
from contracts.storefront import PasswordChanged
from sagashop import redis_clients
from sagashop.errors import NotReachable, Unavailable
from sagashop.health import Pulse
from sagashop.jobs.holder import Holder, Outcome
from sagashop.jobs.queue import JobQueue
from sagashop.saga import Change, Status
from sagashop.sessions import Sessions
from sagashop.settings import BadSetting
from services.notifications import postman
from services.notifications.app import create
from services.notifications.catcher import Mailbox
from services.notifications.postman import Postman
from tests.integration.mail_house import Listing, MailHouse, Moody, mail_house, smtp_server, somebody
from tests.servers import eventually, free_port

LINES = [Line(sku="MUG", quantity=2, price_cents=1490, name="Terra mug")]
CONFIRMED = OrderConfirmed(order_id="o1", customer_id="c1", lines=LINES, total_cents=2980)


@pytest.fixture
def house(redis_ledger: str, redis_session: str) -> Iterator[MailHouse]:
    with mail_house(redis_ledger, redis_session) as house:
        yield house


@pytest.mark.feature("F31")
def test_a_new_customer_is_welcomed_and_told_about_the_order_once(house: MailHouse) -> None:
    house.hear(
        somebody(), somebody(), CONFIRMED, CONFIRMED, OrderShipped(order_id="o1", customer_id="c1", tracking="T7")
    )
    mailer = house.mailer()
    while mailer.step(0.01):
        pass
    to = "c1.r1@sagashop.example"
    wanted = {"Welcome to Sagashop", "Your order is confirmed", "Your parcel is on its way"}
    assert sorted(house.mails()) == sorted((to, subject) for subject in wanted)
    found = house.queue.get("o1.OrderConfirmed")
    assert found is not None
    assert (found.status, found.priority) == ("done", "normal")


def test_a_payment_problem_goes_before_all_other_mail_and_says_what_it_is(house: MailHouse) -> None:
    declined = [Change("payment", Status.REFUSED, note="insufficient funds")]
    house.hear(somebody(), somebody(2))
    house.hear(
        OrderRejected(order_id="o1", customer_id="c1", reason="not enough on the shelf"),
        CompensationStarted(order_id="o2", reason="insufficient funds", changes=declined),
        OrderRejected(order_id="o2", customer_id="c2", reason="insufficient funds"),
    )
    house.mailer().step()
    assert [subject for _, subject in house.mails()][:2] == [
        "We could not take your order", "There is a problem with your payment"
    ]  # fmt: skip


@pytest.mark.feature("F31")
def test_a_changed_password_is_written_about_once_and_before_all_other_mail(house: MailHouse) -> None:
    changed = PasswordChanged(customer_id="c1", changed_ms=1_700_000_000_000)
    house.hear(somebody(), somebody(2))
    house.newsletters.send("New mugs", "We have new mugs.")
    house.hear(changed, changed, PasswordChanged(customer_id="c1", changed_ms=1_700_000_060_000))
    house.mailer().step()
    assert house.mails()[:2] == [("c1.r1@sagashop.example", "Your password was changed")] * 2
    assert len(house.mails()) == len({mail["id"] for mail in house.mailbox.newest(1000)}) >= 4
    found = house.queue.get("c1.password-1700000000000")
    assert found is not None
    assert (found.status, found.priority) == ("done", "high")


def test_a_letter_waits_for_the_address_and_goes_to_the_newest(house: MailHouse) -> None:
    house.hear(CONFIRMED)
    mailer = house.mailer()
    mailer.step()
    found = house.queue.get("o1.OrderConfirmed")
    assert found is not None
    assert "is not known here" in found.error
    house.hear(somebody(registered_ms=0, revision=2), somebody(registered_ms=0, revision=1))
    eventually(lambda: mailer.step(0.01))
    assert house.mails() == [("c1.r2@sagashop.example", "Your order is confirmed")], "and an old customer no welcome"


@pytest.mark.feature("F31")
def test_mail_waits_for_a_server_that_is_away_and_loses_no_attempt(house: MailHouse) -> None:
    house.hear(somebody(), CONFIRMED)
    port, stopping = free_port(), threading.Event()
    mailer = house.mailer(f"smtp://127.0.0.1:{port}")
    for _ in range(5):  # more often than there are attempts
        with pytest.raises(NotReachable, match="SMTP server"):
            mailer.step()
    loop = threading.Thread(target=mailer.run, args=(stopping, Pulse()), daemon=True)
    loop.start()
    try:
        with smtp_server(Moody(house.mailbox, []), port):
            eventually(lambda: len(house.mails()) == 2, deadline_s=20)
    finally:
        stopping.set()
        loop.join(10)
    found = house.queue.get("o1.OrderConfirmed")
    assert found is not None
    assert (found.status, found.attempts) == ("done", 1)


def test_a_refusal_for_good_fails_the_job_and_one_for_now_does_not(house: MailHouse) -> None:
    house.hear(somebody(registered_ms=0), CONFIRMED)
    with smtp_server(Moody(house.mailbox, ["451 greylisted, come back"])) as url:
        mailer = house.mailer(url)
        mailer.step()
        found = house.queue.get("o1.OrderConfirmed")
        assert found is not None
        assert (found.status, found.error) == ("queued", "NotTaken: not now: 451 greylisted, come back")
        eventually(lambda: mailer.step(0.01))
        assert len(house.mails()) == 1
    house.hear(OrderShipped(order_id="o1", customer_id="c1", tracking="T7"))
    with smtp_server(Moody(house.mailbox, ["550 no such mailbox"])) as url:
        house.mailer(url).step()
    (failed,) = house.queue.failed()
    assert (failed.id, failed.error) == ("o1.OrderShipped", "Hopeless: refused: 550 no such mailbox")


@pytest.mark.feature("F31")
def test_a_letter_sent_twice_is_told_by_its_message_id(house: MailHouse) -> None:
    """The process dies after the server took the mail and before that is noted."""
    house.hear(somebody(registered_ms=0), CONFIRMED)
    dying = Holder(house.queue, "dying", house.settings.policy, blocking=house.redis)
    mailer, (job,) = house.mailer(), dying.take(1)
    mailer._handlers[job.kind](job)
    eventually(lambda: _taken_over(house))
    mailer.step()
    assert dying.settle([Outcome(job.id, "done")]) == [job.id]
    (mail,) = house.mailbox.newest(10)
    assert mail["copies"] == 2


def _taken_over(house: MailHouse) -> int:
    return Holder(house.queue, "heir", house.settings.policy, blocking=house.redis).tend()


def test_a_newsletter_reaches_every_customer_once_behind_all_other_mail(house: MailHouse) -> None:
    house.hear(*(somebody(number, registered_ms=0) for number in range(1, 41)))
    newsletter = house.newsletters.send("New mugs", "We have new mugs.\n\nCome and see.")
    mailer, most = house.mailer(), 0
    while len(house.mails()) < 20:
        mailer.step(0.01)
        most = max(most, house.queue.counts().waiting["low"])
    assert most < 10, "a share at a time, never all of them"
    house.hear(CONFIRMED)
    mailer.step()
    assert house.mails()[20 : 20 + 10].index(("c1.r1@sagashop.example", "Your order is confirmed")) == 0
    while mailer.step(0.01):
        pass
    news = [to for to, subject in house.mails() if subject == "New mugs"]
    assert sorted(news) == sorted(f"c{number}.r1@sagashop.example" for number in range(1, 41))
    assert all(mail["copies"] == 1 for mail in house.mailbox.newest(1000))
    assert house.queue.get(f"newsletter.{newsletter}.c7") is not None


def test_the_operator_alone_sends_newsletters_and_reads_caught_mail(house: MailHouse) -> None:
    app, sessions = create(house.settings), Sessions(redis_clients.session(house.settings))
    operator, customer = app.test_client(), app.test_client()
    operator.set_cookie("sagashop_session", sessions.create("op", "Demo Operator", "operator"))
    customer.set_cookie("sagashop_session", sessions.create("c1", "Demo", "customer"))
    house.hear(somebody())
    letter = {"subject": "<b>News</b>", "text": "<script>alert(1)</script>"}
    assert customer.post("/api/notifications/newsletters", json=letter).status_code == 403
    assert operator.post("/api/notifications/newsletters", json={**letter, "subject": "a\nb"}).status_code == 422
    assert operator.post("/api/notifications/newsletters", json=letter).status_code == 202
    assert customer.get("/admin/notifications/jobs").status_code == 403
    mailer = house.mailer()
    while mailer.step(0.01):
        pass
    for path in ("", "/x", "/x/html"):
        assert customer.get(f"/api/notifications/mails{path}").status_code == 403
    items: Any = operator.get("/api/notifications/mails").json
    assert [mail["subject"] for mail in items["items"]] == ["<b>News</b>", "Welcome to Sagashop"]
    where = f"/api/notifications/mails/{items['items'][0]['id']}"
    one: Any = operator.get(where).json
    assert "<script>alert(1)</script>" in one["text"]
    html = operator.get(f"{where}/html")
    assert "<script" not in html.text
    assert "&lt;script&gt;" in html.text
    assert html.headers["Content-Security-Policy"].endswith("sandbox")
    assert operator.get("/api/notifications/mails/gone").status_code == 404


def test_failed_mail_is_retried_and_discarded_over_http(house: MailHouse) -> None:
    app, sessions = create(house.settings), Sessions(redis_clients.session(house.settings))
    operator = app.test_client()
    operator.set_cookie("sagashop_session", sessions.create("op", "Demo Operator", "operator"))
    house.hear(somebody(registered_ms=0), CONFIRMED)
    with smtp_server(Moody(house.mailbox, ["550 no", "550 no"])) as url:
        house.mailer(url).step()
        answer: Any = operator.get("/admin/notifications/failed-jobs").json
        assert (answer["total"], answer["items"][0]["id"]) == (1, "o1.OrderConfirmed")
        assert operator.post("/admin/notifications/failed-jobs/o1.OrderConfirmed/retry").status_code == 202
        assert operator.post("/admin/notifications/failed-jobs/o1.OrderConfirmed/retry").status_code == 404
        house.mailer(url).step()
    assert operator.delete("/admin/notifications/failed-jobs/o1.OrderConfirmed").status_code == 200
    assert operator.get("/admin/notifications/jobs/o1.OrderConfirmed").status_code == 404
    counts: Any = operator.get("/admin/notifications/jobs").json
    assert (counts["failed"], counts["waiting"]) == (0, {"high": 0, "normal": 0, "low": 0})


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_it_logs_in_where_the_url_says_so_and_waits_where_the_log_in_is_refused(house: MailHouse) -> None:
    house.hear(somebody())

    def check(_: Any, __: Any, ___: Any, ____: Any, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"shop", b"p@ss"), handled=False)

    mood = Moody(house.mailbox, [])
    with smtp_server(mood, authenticator=check, auth_required=True, auth_require_tls=False) as url:
        with pytest.raises(NotReachable, match="Authentication"):
            house.mailer(url.replace("//", "//shop:wrong@")).step()
        house.mailer(url.replace("//", "//shop:p%40ss@")).step()
    assert len(house.mails()) == 1


def test_one_connection_serves_many_mails_until_the_server_might_mind_or_none_are_left(
    house: MailHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postman, "AT_MOST", 11)
    house.hear(*[somebody(number) for number in range(12)])
    server = Listing(house.mailbox, [])
    with smtp_server(server) as url:
        mailer = house.mailer(url)
        assert [mailer.step(), mailer.step()] == [10, 2]
        callers = server.callers
        assert [len(set(callers[:11])), len(set(callers))] == [1, 2]
        assert mailer.step(0.01) == 0
        house.hear(somebody(12))
        mailer.step()
    assert (len(house.mails()), len(set(server.callers))) == (13, 3)


def test_a_connection_that_ended_between_two_mails_counts_against_neither(house: MailHouse) -> None:
    house.hear(somebody())
    port = free_port()
    with smtp_server(Moody(house.mailbox, []), port) as url:
        mailer = house.mailer(url)
        mailer.step()
    house.hear(somebody(2), CONFIRMED)
    with pytest.raises(NotReachable):
        mailer.step()
    with smtp_server(Moody(house.mailbox, []), port):
        eventually(lambda: mailer.step(0.01) == 0 and len(house.mails()) == 3)
    found = house.queue.get("o1.OrderConfirmed")
    assert found is not None
    assert (found.status, found.attempts) == ("done", 1)


def test_starttls_is_not_left_out_where_the_server_does_not_offer_it(house: MailHouse) -> None:
    house.hear(somebody())
    with smtp_server(Moody(house.mailbox, [])) as url, pytest.raises(NotReachable, match="STARTTLS"):
        house.mailer(url.replace("smtp:", "smtp+starttls:")).step()
    assert house.mails() == []


@pytest.mark.parametrize(
    "url", ["", "http://mail", "smtp://", "smtp://mail:post", "smtp://shop:secret@mail.sagashop.example"]
)
def test_a_url_that_cannot_be_meant_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(BadSetting, match="SMTP_URL"):
        Postman(url, 1)


def test_the_catcher_keeps_the_last_mails_and_counts_repetitions() -> None:
    mailbox = Mailbox(3)
    for number in range(5):
        mailbox.put(f"Message-ID: <{number}@x>\r\nSubject: {number}\r\n\r\nHello".encode(), ["a@x"])
    mailbox.put(b"Message-ID: <3@x>\r\nSubject: 3\r\n\r\nHello", ["a@x"])
    assert [(mail["subject"], mail["copies"]) for mail in mailbox.newest(9)] == [("3", 2), ("4", 1), ("2", 1)]
    mailbox.put(b"\xff\xfe no mail at all", ["a@x"])
    assert len(mailbox.newest(9)) == 3


def test_a_newsletter_without_room_is_continued_later_and_other_mail_goes_on(
    house: MailHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hear(somebody(registered_ms=0), CONFIRMED)
    newsletter, mailer = house.newsletters.send("New mugs", "Come and see."), house.mailer()

    def full(_: JobQueue, __: Any) -> int:
        raise Unavailable("redis-ledger is nearly full")

    with monkeypatch.context() as patch:
        patch.setattr(JobQueue, "enqueue_all", full)
        mailer.step()
    assert [subject for _, subject in house.mails()] == ["Your order is confirmed"]
    found = house.queue.get(f"newsletter.{newsletter}.share-0")
    assert found is not None
    assert (found.status, found.error) == ("queued", "NoRoom: redis-ledger is nearly full")
    eventually(lambda: mailer.step(0.01) == 0 and len(house.mails()) == 2, deadline_s=20)
