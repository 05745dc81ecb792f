"""What customers are written: each event that is worth an e-mail as a letter, in words. Pure; mail.py makes it look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from contracts.orders import Line, OrderConfirmed, OrderRefunded, OrderRejected, OrderShipped
from contracts.storefront import PasswordChanged
from sagashop.jobs.job import Job, Priority
from sagashop.messages import Message, encode
from services.notifications.domain import euros

LETTER, NEWSLETTER, NEWSLETTER_SHARE = "letter", "newsletter", "newsletter-share"
"""Kinds of jobs: a letter to one customer, a newsletter to one customer, a newsletter to a share of all customers."""


class Letter(Struct, frozen=True, kw_only=True):
    """An e-mail without its look.

    rows:   a small table below the text: what stands left and right
    link:   a path of the shop, and what the button says; empty for none
    """

    subject: str
    headline: str
    paragraphs: list[str]
    rows: list[tuple[str, str]] = []
    link: str = ""
    button: str = ""


class LetterTo(Struct, frozen=True, kw_only=True):
    """The payload of a job. The address is looked up when the letter is sent, so that it is the one of that moment."""

    customer_id: str
    letter: Letter


def confirmed(order: OrderConfirmed) -> Letter:
    return _about(
        order.order_id, "Your order is confirmed", "Thank you for your order",
        "We have put everything aside for you. You get another message when the carrier has your parcel.",
        [*_lines(order.lines), ("Total", euros(order.total_cents))],
    )  # fmt: skip


def shipped(order: OrderShipped) -> Letter:
    return _about(
        order.order_id, "Your parcel is on its way", "The carrier has your parcel",
        "It left our shelf today.", [("Tracking number", order.tracking)],
    )  # fmt: skip


def refunded(order: OrderRefunded) -> Letter:
    return _about(
        order.order_id, "Your order is cancelled", "Your money is back",
        "Your order is cancelled, and what you paid went back to your account.",
        [("Refunded", euros(order.total_cents))],
    )  # fmt: skip


def refused(order: OrderRejected) -> Letter:
    return _about(
        order.order_id, "We could not take your order", "We could not take your order",
        f"The reason: {order.reason}. You were not charged. You can change the order and send it again.",
    )  # fmt: skip


def payment_refused(order: OrderRejected) -> Letter:
    return _about(
        order.order_id, "There is a problem with your payment", "We could not take the payment",
        f"The reason: {order.reason}. You were not charged, and what we had put aside is back on the shelf. "
        "Bring money to your account, and order again.",
    )  # fmt: skip


LETTERS: dict[type[Message], tuple[Priority, Callable[[Any], Letter]]] = {
    OrderConfirmed: ("normal", confirmed),
    OrderShipped: ("normal", shipped),
    OrderRefunded: ("normal", refunded),
    OrderRejected: ("high", refused),
}
"""The events that customers get a letter about, beside the notice. High: they wait for it, or must do something."""


def letters_about(event: Any, *, payment_declined: bool) -> Iterator[Job]:
    """The job that sends the letter about this event; none where no letter is sent. Its id names order and event."""
    if type(event) in LETTERS:
        priority, write = LETTERS[type(event)]
        letter = payment_refused(event) if payment_declined and write is refused else write(event)
        yield _job(event.customer_id, letter, priority, f"{event.order_id}.{type(event).__name__}")


def welcome(customer_id: str) -> Job:
    """The job that greets a new customer."""
    letter = Letter(
        subject="Welcome to Sagashop", headline="Welcome to Sagashop",
        paragraphs=["Your account is ready, with some credit on it to try the shop with.",
                    "Every order has a page on which you can watch it, step by step."],
        link="/", button="Look around",
    )  # fmt: skip
    return _job(customer_id, letter, "normal", f"{customer_id}.welcome")


def password_changed(event: PasswordChanged) -> Job:
    """The job that warns of a change, before all other letters. Neither password is in it, nor a link to click."""
    when = datetime.fromtimestamp(event.changed_ms / 1000, UTC)
    letter = Letter(
        subject="Your password was changed", headline="Your password was changed",
        paragraphs=["The password of your account was changed, and all other devices were logged out.",
                    "If that was you, all is well. If it was not, answer this e-mail at once."],
        rows=[("Changed", f"{when:%-d %B %Y, %H:%M} UTC")],
    )  # fmt: skip
    return _job(event.customer_id, letter, "high", f"{event.customer_id}.password-{event.changed_ms}")


def news(subject: str, text: str) -> Letter:
    """A newsletter: paragraphs are set apart by empty lines."""
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    return Letter(subject=subject, headline=subject, paragraphs=paragraphs, link="/", button="To the shop")


def _job(customer_id: str, letter: Letter, priority: Priority, job_id: str) -> Job:
    payload = encode(LetterTo(customer_id=customer_id, letter=letter))
    return Job(kind=LETTER, payload=payload, id=job_id, priority=priority)


def _about(order_id: str, subject: str, headline: str, text: str, rows: list[tuple[str, str]] | None = None) -> Letter:
    return Letter(
        subject=subject, headline=headline, paragraphs=[text],
        rows=[("Order", order_id), *(rows or [])], link=f"/#/orders/{order_id}", button="Watch the order",
    )  # fmt: skip


def _lines(lines: list[Line]) -> list[tuple[str, str]]:
    return [(f"{line.quantity} × {line.name or line.sku}", euros(line.quantity * line.price_cents)) for line in lines]
