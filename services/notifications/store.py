"""The notices of a customer: the last thousand, in one hash that is used as a ring. So are the broadcasts. And where
letters and phones of a customer are found."""

from __future__ import annotations

import zlib

import msgspec

from sagashop.bus import Bus
from sagashop.keys import own
from services.notifications import ring

SERVICE = "notifications"
PAGE = 50
"""Notices in one answer."""
KEEP_TOLD_S = 24 * 3600

COUNT, PHONES = "count", "phones"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notice. `number` counts the customer's notices from 1; a reader that remembers it knows what is new."""

    number: int
    order_id: str
    event: str
    text: str
    time_ms: int


_decode = msgspec.json.Decoder(Notice).decode


def notices_key(customer_id: str) -> str:
    """Hash, a ring: notice n as JSON in field n modulo 1,000. It is written without being read."""
    return own(SERVICE, "notices", customer_id)


def count_key(customer_id: str) -> str:
    """Hash: how many notices the customer ever had, in `count`, and how many devices there are now, in `phones`."""
    return own(SERVICE, "count", customer_id)


def told_key(order_id: str) -> str:
    """Hash of one order: a field for each event that the customer was told of."""
    return own(SERVICE, "told", order_id)


def passwords_key(customer_id: str) -> str:
    """Hash: a field for each change of the customer's password that a letter was sent about."""
    return own(SERVICE, "passwords", customer_id)


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """A message to every phone. `number` counts them from 1."""

    number: int
    text: str
    time_ms: int


def broadcasts_key() -> str:
    """Hash, a ring: broadcast n as JSON in field n modulo 1,000."""
    return own(SERVICE, "broadcasts")


def broadcast_count_key() -> str:
    """Hash: how many broadcasts there ever were, in `count`."""
    return own(SERVICE, "broadcast-count")


def devices_key(customer_id: str) -> str:
    """Hash: the devices of a customer as one JSON list in `list`, so that one guard covers them all."""
    return own(SERVICE, "devices", customer_id)


def lease_key() -> str:
    """Hash: which relay is at work, in `holder`."""
    return own(SERVICE, "relay")


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Where letters to a customer go."""

    name: str
    email: str
    revision: int


SHARES = 256
read_customer = msgspec.json.Decoder(Customer).decode


def share_of(customer_id: str) -> int:
    """Which of the shares of all customers one belongs to; about equally many in each."""
    return zlib.crc32(customer_id.encode()) % SHARES


def customers_key(share: int) -> str:
    """Hash: the customers of a share, each as JSON under the id. In shares, to go through all in pieces."""
    return own(SERVICE, "customers", str(share))


def no_news_key(share: int) -> str:
    """Hash: who of a share wants no newsletters; since when, ms, under the id. Empty: wants them again."""
    return own(SERVICE, "no-news", str(share))


def newsletter_key(newsletter_id: str) -> str:
    """Hash of one newsletter: `subject`, `text`, `sent_ms`."""
    return own(SERVICE, "newsletter", newsletter_id)


def notices_of(bus: Bus, customer_id: str, after: int | None = None) -> list[Notice]:
    """A page of the kept notices of a customer, newest first: the newest ones, or the first after a number.

    Raises:
        Unavailable: Redis does not answer.
    """
    count = count_key(customer_id)
    newest = int(bus.load([count])[count].get(COUNT, 0))
    return ring.read(bus, notices_key(customer_id), ring.page(newest, after, PAGE), _decode)
