"""E-mail to a server that is somebody else's: STARTTLS, a certificate to be checked, and a log-in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from sagashop.errors import NotReachable
from sagashop.health import Pulse
from sagashop.settings import BadSetting
from services.notifications.catcher import Receiver
from services.notifications.postman import Postman
from tests.certificates import Authority
from tests.integration.mail_house import MailHouse, mail_house, smtp_server, somebody
from tests.servers import eventually, free_port

pytestmark = pytest.mark.feature("F31")
USER, PASSWORD = b"shop", b"p@ss"


class Watched(Receiver):
    """Notes how each mail came, and every log-in that was tried, with whether that was over TLS."""

    def __init__(self, mailbox: Any) -> None:
        super().__init__(mailbox)
        self.secured: list[bool] = []
        self.logins: list[bool] = []
        self.greeted = threading.Event()

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, answers: Any) -> Any:
        session.host_name = hostname
        self.greeted.set()
        return answers

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.secured.append(session.ssl is not None)
        return await super().handle_DATA(server, session, envelope)

    def check(self, _: Any, session: Any, __: Any, ___: Any, data: Any) -> AuthResult:
        self.logins.append(session.ssl is not None)
        return AuthResult(success=(data.login, data.password) == (USER, PASSWORD), handled=False)


@pytest.fixture
def house(redis_ledger: str, redis_session: str) -> Iterator[MailHouse]:
    with mail_house(redis_ledger, redis_session) as house:
        house.hear(somebody())
        yield house


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextmanager
def provider(watched: Watched, tls: Any, port: int = 0) -> Iterator[str]:
    """A server that takes mail only over STARTTLS and from who has logged in; its URL with the right log-in."""
    with smtp_server(
        watched, port, tls_context=tls, require_starttls=True, authenticator=watched.check, auth_required=True
    ) as url:
        yield url.replace("smtp://", "smtp+starttls://shop:p%40ss@")


def test_it_goes_out_over_starttls_with_a_log_in_when_the_certificate_is_good(
    house: MailHouse, authority: Authority
) -> None:
    watched = Watched(house.mailbox)
    with provider(watched, authority.server()) as url:
        house.mailer(url, smtp_ca_file=str(authority.file)).step()
    assert house.mails() == [("c1.r1@sagashop.example", "Welcome to Sagashop")]
    assert (watched.secured, watched.logins) == ([True], [True])


@pytest.mark.parametrize(
    ("names", "trusted", "why"),
    [
        ("IP:127.0.0.1", False, "unable to get local issuer|self-signed|self signed"),
        ("DNS:mail.sagashop.example", True, "IP address mismatch"),
    ],
)
def test_a_wrong_certificate_is_told_and_neither_password_nor_letter_goes_out(
    house: MailHouse, authority: Authority, names: str, trusted: bool, why: str
) -> None:
    watched = Watched(house.mailbox)
    with provider(watched, authority.server(names)) as url:
        mailer = house.mailer(url, smtp_ca_file=str(authority.file) if trusted else "")
        for _ in range(5):  # more often than there are attempts
            with pytest.raises(NotReachable, match=f"certificate cannot be trusted: .*({why})") as told:
                mailer.step()
        assert "SMTP_CA_FILE" in str(told.value)
        assert "p@ss" not in str(told.value)
    assert (watched.secured, watched.logins, house.mails()) == ([], [], [])
    job = house.queue.get("c1.welcome")
    assert job is not None
    assert (job.status, job.attempts) == ("queued", 0)


def test_mail_goes_out_by_itself_once_the_server_has_a_good_certificate(house: MailHouse, authority: Authority) -> None:
    refused, watched = Watched(house.mailbox), Watched(house.mailbox)
    port, stopping = free_port(), threading.Event()
    url = f"smtp+starttls://shop:p%40ss@127.0.0.1:{port}"
    mailer = house.mailer(url, smtp_ca_file=str(authority.file))
    loop = threading.Thread(target=mailer.run, args=(stopping, Pulse()), daemon=True)
    try:
        with provider(refused, authority.server("DNS:elsewhere.sagashop.example"), port):
            loop.start()
            assert refused.greeted.wait(10)
        with provider(watched, authority.server(), port):
            eventually(house.mails, deadline_s=20)
    finally:
        stopping.set()
        loop.join(10)
    job = house.queue.get("c1.welcome")
    assert job is not None
    assert (job.status, job.attempts, watched.secured) == ("done", 1, [True])


def test_smtps_checks_the_certificate_too(house: MailHouse, authority: Authority) -> None:
    watched = Watched(house.mailbox)
    with smtp_server(watched, ssl_context=authority.server()) as url:
        secure = url.replace("smtp://", "smtps://")
        with pytest.raises(NotReachable, match="certificate cannot be trusted"):
            house.mailer(secure).step()
        house.mailer(secure, smtp_ca_file=str(authority.file)).step()
    assert len(house.mails()) == 1


def test_a_server_that_wants_tls_or_a_log_in_first_lets_mail_wait_and_fails_none(
    house: MailHouse, authority: Authority
) -> None:
    watched = Watched(house.mailbox)
    with provider(watched, authority.server()) as url:
        bare = url.replace("shop:p%40ss@", "")
        with pytest.raises(NotReachable, match=r"530 .*\n.*SMTP_URL"):
            house.mailer(bare.replace("+starttls", "")).step()
        with pytest.raises(NotReachable, match=r"530 .*Authentication required"):
            house.mailer(bare, smtp_ca_file=str(authority.file)).step()
        with pytest.raises(NotReachable, match="refuses the log-in"):
            house.mailer(url.replace("p%40ss", "wrong"), smtp_ca_file=str(authority.file)).step()
    assert (house.mails(), house.queue.failed()) == ([], [])


def test_a_file_of_certificates_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "not-there.pem"):
        with pytest.raises(BadSetting, match="SMTP_CA_FILE"):
            Postman("smtps://mail.sagashop.example", 1, str(tmp_path / name))
