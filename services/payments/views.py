"""What payments takes and answers over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from sagashop.errors import NotFound
from sagashop.web.inputs import Input
from services.payments import postings
from services.payments.ledger import Account, Place
from services.payments.teller import Receipt

MAX_ID = 64
Cents = Annotated[int, Meta(ge=1, le=1_000_000, description="Cents")]
RequestId = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]


class NoAccount(NotFound):
    kind, title = "no-account", "This customer has no account"


class Deposit(Input, frozen=True, kw_only=True):
    """Money in. With the same `deposit_id` (or Idempotency-Key) it counts once."""

    amount_cents: Cents
    deposit_id: RequestId | None = None


class Withdrawal(Input, frozen=True, kw_only=True):
    """Money out. With the same `withdrawal_id` (or Idempotency-Key) it counts once."""

    amount_cents: Cents
    withdrawal_id: RequestId | None = None


class Deposited(Receipt, frozen=True, kw_only=True):
    deposit_id: str


class Withdrawn(Receipt, frozen=True, kw_only=True):
    withdrawal_id: str


class Balance(Struct, frozen=True, kw_only=True):
    """What can be spent, and what is put aside for orders."""

    available_cents: int
    held_cents: int


class Statement(Struct, frozen=True, kw_only=True):
    items: list[postings.Line]
    next_cursor: str | None


class Fold(Balance, frozen=True, kw_only=True):
    """An account after its first `sequence` events."""

    sequence: int


class AccountView(Fold, frozen=True, kw_only=True):
    """The account as it is, and as the journal alone tells it; the journal follows within a second."""

    customer_id: str
    journal: Fold

    @classmethod
    def of(cls, account: Account, told: Account) -> AccountView:
        """`told` is the account that the journal tells."""
        return cls(customer_id=account.customer_id, **_fold(account), journal=Fold(**_fold(told)))


class Totals(Struct, frozen=True, kw_only=True):
    """Every cent there is, by where it is. `bank` is the world outside: below zero by what came in. The sum is zero."""

    bank_cents: int
    available_cents: int
    held_cents: int
    merchant_cents: int
    sum_cents: int

    @classmethod
    def of(cls, cents: Mapping[Place, int]) -> Totals:
        """The totals of cents by place."""
        return cls(**{f"{place}_cents": amount for place, amount in cents.items()}, sum_cents=sum(cents.values()))


class LedgerView(Struct, frozen=True, kw_only=True):
    """The books in SQL, and the running totals in Redis. `balanced`: both add up to zero. `current`: they agree."""

    balanced: bool
    current: bool
    books: Totals
    running: Totals


def _fold(account: Account) -> dict[str, int]:
    return {name: getattr(account, name) for name in ("available_cents", "held_cents", "sequence")}
