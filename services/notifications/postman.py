"""Hands e-mails to an SMTP server, and tells apart: the server is away, this mail was refused, try this one later."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from sagashop.errors import NotReachable, SagashopError
from sagashop.jobs.job import Hopeless
from sagashop.settings import BadSetting

PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
AT_MOST = 100
"""E-mails sent through one connection; servers refuse more than some number."""
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
NOT_WITH_US = {530, 534, 535, 538}
"""Refusals of whoever comes (log in first, use TLS first), which say nothing about the e-mail."""


class NotTaken(SagashopError):
    """The server did not take this e-mail now, and may later."""


class Broken(NotTaken):
    """The connection broke. The e-mail may have gone out."""


class Postman:
    """Sends through one connection until `close`, or for a hundred e-mails. Not for several threads.

    url:     `smtp://` in the clear, `smtp+starttls://` and `smtps://` with a certificate that is checked; with a user
             and a password it logs in, but not in the clear to another machine
    ca_file: who signed that certificate, where it is none of those the system trusts

    Raises:
        BadSetting: the URL is none of these, or the file cannot be read.
    """

    def __init__(self, url: str, timeout_s: float, ca_file: str = "") -> None:
        parts = urlsplit(url)
        try:
            port = parts.port or PORTS[parts.scheme]
        except (KeyError, ValueError):  # another scheme, or a port that is no number
            port = 0
        if not port or not parts.hostname:
            raise BadSetting("SMTP_URL should read smtp://host:25, smtp+starttls://user:password@host:587 or smtps://…")
        if parts.password and parts.scheme == "smtp" and parts.hostname not in LOOPBACK:
            raise BadSetting("SMTP_URL would send its password in the clear; use smtp+starttls:// or smtps://")
        self._kind, self._host, self._port = parts.scheme, parts.hostname, port
        self._secure = None if parts.scheme == "smtp" else _trusting(ca_file)
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._timeout_s, self._open = timeout_s, None  # type: float, smtplib.SMTP | None
        self._sent = 0

    def send(self, message: EmailMessage) -> None:
        """Hand one e-mail over; when this returns, the server has taken charge of it.

        Raises:
            NotReachable: no connection, trust, greeting or log-in: nothing is wrong with this e-mail
            Hopeless:     the server refuses this e-mail for good (5xx), or cannot carry such an address
            NotTaken:     it refuses for now (4xx), or the connection broke: then the e-mail may have gone out
        """
        if self._sent == AT_MOST:
            self.close()
        if self._open is not None:
            with contextlib.suppress(Broken):  # since the last e-mail, most likely: that says nothing about this one
                return self._send(self._open, message)
        self._open = self._connect()
        return self._send(self._open, message)

    def _send(self, server: smtplib.SMTP, message: EmailMessage) -> None:
        try:
            server.send_message(message)
            self._sent += 1
        except smtplib.SMTPRecipientsRefused as refused:
            raise self._verdict(*next(iter(refused.recipients.values()))) from refused
        except smtplib.SMTPResponseException as refused:
            raise self._verdict(refused.smtp_code, refused.smtp_error) from refused
        except smtplib.SMTPNotSupportedError as error:
            raise Hopeless(f"the SMTP server cannot carry this: {error}") from error
        except OSError as error:  # smtplib's own errors are among them
            self.close()
            raise Broken(f"the connection to the SMTP server broke: {error or type(error).__name__}") from error

    def _verdict(self, code: int, words: bytes | str) -> SagashopError:
        self.close()
        said = f"{code} {words.decode(errors='replace') if isinstance(words, bytes) else words}"
        if code in NOT_WITH_US:
            return self._away(said, "Name user and password, or smtp+starttls://, in SMTP_URL.")
        return Hopeless(f"refused: {said}") if 500 <= code < 600 else NotTaken(f"not now: {said}")

    def _connect(self) -> smtplib.SMTP:
        me = socket.gethostname()  # given, since smtplib would ask the DNS for it
        try:
            if self._kind == "smtps":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self._host, self._port, me, timeout=self._timeout_s, context=self._secure
                )
            else:
                server = smtplib.SMTP(self._host, self._port, me, timeout=self._timeout_s)
        except OSError as error:
            raise self._unreached(error) from error
        try:
            if self._kind == "smtp+starttls":
                server.starttls(context=self._secure)
            if self._login:
                server.login(*self._login)
            server.ehlo_or_helo_if_needed()
        except OSError as error:
            server.close()
            raise self._unreached(error) from error
        return server

    def _unreached(self, error: Exception) -> NotReachable:
        match error:
            case ssl.SSLCertVerificationError():
                why = f"its certificate cannot be trusted: {error.verify_message}"
                return self._away(why, f"Give it one for {self._host}, or name who signed it in SMTP_CA_FILE.")
            case smtplib.SMTPAuthenticationError():
                return self._away(f"it refuses the log-in: {error}", "Mend user and password in SMTP_URL.")
            case smtplib.SMTPNotSupportedError():
                return self._away(str(error), "Mend the server, or ask for less in SMTP_URL.")
        return self._away(str(error) or type(error).__name__, "Start it, or point SMTP_URL at one that runs.")

    def _away(self, why: str, advice: str) -> NotReachable:
        where = f"{self._host}:{self._port}"
        return NotReachable(f"cannot hand e-mail to the SMTP server at {where} ({why}).\n  E-mails wait. {advice}")

    def close(self) -> None:
        """End the connection, if there is one; the next `send` opens another."""
        server, self._open, self._sent = self._open, None, 0
        if server is not None:
            with contextlib.suppress(OSError):
                server.quit()


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise BadSetting(f"SMTP_CA_FILE is {ca_file!r}, which cannot be read as certificates: {error}") from error
