"""A letter as an e-mail: text and HTML, with headers that are the same each time the same job is done."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from html import escape
from importlib import resources
from string import Template

from sagashop.jobs.job import Hopeless
from sagashop.settings import BadSetting
from services.notifications.letters import Letter
from services.notifications.store import Customer

SHOP, NO_MORE = "Sagashop", "No more newsletters"
TEMPLATE = Template(resources.files("services.notifications").joinpath("letter.html").read_text())


def sender(address: str) -> Address:
    """Whom e-mail comes from. Raises: BadSetting."""
    try:
        return Address(display_name=SHOP, addr_spec=address)
    except (ValueError, IndexError, MessageError) as error:  # IndexError: the parser meets an empty address
        raise BadSetting(f"MAIL_FROM is {address!r}, and should be an address: {error}") from error


def compose(letter: Letter, customer: Customer, *, job_id: str, queued_ms: int, origin: Address,
            public_url: str, unsubscribe: str = "") -> EmailMessage:  # fmt: skip
    """The message. Done twice, a job makes the same one twice, with the same Message-ID: mailboxes keep one of them.

    unsubscribe: the token of the links by which the reader stops such letters; empty for none

    Raises:
        Hopeless: the address, the name or the subject cannot stand in a header.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"], message["Subject"] = origin, letter.subject
        message["To"] = Address(display_name=customer.name, addr_spec=customer.email)
    except (ValueError, IndexError, MessageError) as error:  # IndexError: the parser meets an empty address
        raise Hopeless(f"this cannot be written on an envelope: {error}") from error
    message["Date"] = datetime.fromtimestamp(queued_ms / 1000, UTC)
    message["Message-ID"] = f"<{hashlib.sha256(job_id.encode()).hexdigest()[:32]}@{origin.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    stop = f"{public_url}/#/unsubscribe/{unsubscribe}" if unsubscribe else ""
    if unsubscribe:  # one click in the mail program: RFC 8058
        message["List-Unsubscribe"] = f"<{public_url}/api/notifications/unsubscribe/{unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(as_text(letter, customer.name, public_url, stop))
    message.add_alternative(as_html(letter, customer.name, public_url, stop), subtype="html")
    return message


def as_text(letter: Letter, name: str, public_url: str, stop: str = "") -> str:
    """The letter for a reader without HTML."""
    width = max((len(left) for left, _ in letter.rows), default=0)
    rows = "\n".join(f"  {left.ljust(width)}  {right}" for left, right in letter.rows)
    link = f"{letter.button}: {public_url}{letter.link}" if letter.link else ""
    parts = [f"Hello {name},", letter.headline + ".", *letter.paragraphs, rows, link, SHOP]
    parts += [f"{NO_MORE}: {stop}"] if stop else []
    return "\n\n".join(part for part in parts if part) + "\n"


def as_html(letter: Letter, name: str, public_url: str, stop: str = "") -> str:
    """The letter in the shop's look. Everything in it is text, so everything is escaped."""
    return TEMPLATE.substitute(
        subject=escape(letter.subject),
        headline=escape(letter.headline),
        name=escape(name),
        paragraphs="\n".join(f'<p style="margin:0 0 12px">{escape(text)}</p>' for text in letter.paragraphs),
        rows=_table(letter.rows),
        button=_button(letter, public_url),
        stop=f' <a href="{escape(stop)}" style="color:#55666c">{NO_MORE}</a>' if stop else "",
    )


CELL = "padding:8px 0;border-top:1px solid #d9e0e2"
NUMBER = f"{CELL};padding-left:16px;font-variant-numeric:tabular-nums"
BUTTON = "display:inline-block;padding:8px 16px;border-radius:8px;background:#14606c;color:#fff;text-decoration:none"


def _table(rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    inside = "\n".join(
        f'<tr><td style="{CELL}">{escape(left)}</td><td align="right" style="{NUMBER}">{escape(right)}</td></tr>'
        for left, right in rows
    )
    return f'<table width="100%" cellpadding="0" cellspacing="0" style="margin:16px 0;font-size:14px">{inside}</table>'


def _button(letter: Letter, public_url: str) -> str:
    if not letter.link:
        return ""
    link = f'<a href="{escape(public_url + letter.link)}" style="{BUTTON}">{escape(letter.button)}</a>'
    return f'<p style="margin:16px 0 0">{link}</p>'
