"""The books, pure. An account is the fold of its events, and every event moves its amount from one place to another.

`TRANSFERS` is the only statement of what moves where. The snapshot in Redis, the running totals, the SQL postings and
the statement are all derived from it, so the sum over all places is zero by construction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import reduce

from msgspec import Struct
from msgspec.structs import replace

from contracts.payments import (
    AccountOpened,
    MoneyDeposited,
    MoneyWithdrawn,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentReleased,
)

PaymentEvent = PaymentAuthorized | PaymentDeclined | PaymentReleased | PaymentCaptured | PaymentRefunded
Event = AccountOpened | MoneyDeposited | MoneyWithdrawn | PaymentEvent


class Place(StrEnum):
    """Where money can be. Each customer has `available` and `held`; the house has `bank` and `merchant`.

    `bank` is the world outside; it goes below zero by what customers have brought in.
    """

    BANK = "bank"
    AVAILABLE = "available"
    HELD = "held"
    MERCHANT = "merchant"


TRANSFERS: Mapping[type[Event], tuple[Place, Place] | None] = {
    AccountOpened: None,
    MoneyDeposited: (Place.BANK, Place.AVAILABLE),
    MoneyWithdrawn: (Place.AVAILABLE, Place.BANK),
    PaymentAuthorized: (Place.AVAILABLE, Place.HELD),
    PaymentDeclined: None,
    PaymentReleased: (Place.HELD, Place.AVAILABLE),
    PaymentCaptured: (Place.HELD, Place.MERCHANT),
    PaymentRefunded: (Place.MERCHANT, Place.AVAILABLE),
}


class Posting(Struct, frozen=True):
    """One side of a double entry: so many cents came to this place (or left it, below zero)."""

    customer_id: str
    place: Place
    amount_cents: int

    @property
    def account(self) -> str:
        """The name of the account in the books: `bank`, `merchant`, `customer:<id>:available`, `customer:<id>:held`."""
        return self.place if self.place in (Place.BANK, Place.MERCHANT) else f"customer:{self.customer_id}:{self.place}"


class Account(Struct, frozen=True):
    """A customer's account. `sequence` counts its events; 0 means that it is not open yet."""

    customer_id: str
    available_cents: int = 0
    held_cents: int = 0
    sequence: int = 0


def aggregate(customer_id: str) -> str:
    """The name of an account's history in the journal."""
    return f"account:{customer_id}"


def postings(event: Event) -> tuple[Posting, ...]:
    """The two sides of this event; none where no money moves."""
    transfer = TRANSFERS[type(event)]
    if transfer is None or isinstance(event, AccountOpened | PaymentDeclined):
        return ()
    source, target = transfer
    return (
        Posting(event.customer_id, source, -event.amount_cents),
        Posting(event.customer_id, target, event.amount_cents),
    )


def totals(events: Iterable[Event]) -> Counter[Place]:
    """What these events change in each place, over all customers; the values add up to zero."""
    change: Counter[Place] = Counter()
    for posting in (p for event in events for p in postings(event)):
        change[posting.place] += posting.amount_cents
    return change


def evolve(account: Account, event: Event) -> Account:
    """The account after this event."""
    change = totals([event])
    return replace(
        account,
        available_cents=account.available_cents + change[Place.AVAILABLE],
        held_cents=account.held_cents + change[Place.HELD],
        sequence=account.sequence + 1,
    )


def fold(account: Account, events: Iterable[Event]) -> Account:
    """The account after all these events, in order; a whole history folded from `Account(id)` is the balance itself."""
    return reduce(evolve, events, account)
