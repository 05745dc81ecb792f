"""Deposits and withdrawals from the front door: load, decide, admit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from sagashop import log
from sagashop.bus import Bus, GuardFailed
from sagashop.effects import Effects, Put
from sagashop.errors import InvalidRequest, Unavailable
from services.payments import accounts, store
from services.payments.ledger import Account, Event, fold

TRIES = 10
KEEP_RECEIPTS_S = 30 * 24 * 3600
"""A deposit or withdrawal may be repeated under its id this long; the journal keeps it for good."""

Decide = Callable[[Account], Sequence[Event]]


class KeyReused(InvalidRequest):
    kind, title = "idempotency-key-reused", "This id belongs to an earlier request with another amount"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a deposit or withdrawal: the account just after it."""

    amount_cents: int
    available_cents: int
    held_cents: int


class Teller:
    """Moves money once for each request id: a repeated request gets the first receipt.

    Both methods raise:
        KeyReused: another amount under a known id.
        Unavailable: Redis does not answer or is full, or others keep changing the account; the client may repeat.
    """

    def __init__(self, bus: Bus, terms: accounts.Terms) -> None:
        self._bus, self._terms = bus, terms

    def deposit(self, customer_id: str, cents: int, deposit_id: str) -> Receipt:
        """Bring `cents` in."""
        key = store.receipt_key("deposit", customer_id, deposit_id)
        return self._once(key, customer_id, cents, lambda a: accounts.deposit(a, cents, deposit_id, self._terms))

    def withdraw(self, customer_id: str, cents: int, withdrawal_id: str) -> Receipt:
        """Take `cents` out; raises InsufficientFunds where less is available."""
        key = store.receipt_key("withdrawal", customer_id, withdrawal_id)
        return self._once(key, customer_id, cents, lambda a: accounts.withdraw(a, cents, withdrawal_id, self._terms))

    def _once(self, receipt_key: str, customer_id: str, cents: int, decide: Decide) -> Receipt:
        account_key = store.account_key(customer_id)
        for _ in range(TRIES):
            rows = self._bus.load([receipt_key, account_key])
            if rows[receipt_key]:
                return _first_receipt(rows[receipt_key], cents)
            account = store.account_of(customer_id, rows[account_key])
            events = decide(account)
            receipt = _receipt(fold(account, events), cents)
            kept = Effects(write=[Put(receipt_key, msgspec.structs.asdict(receipt), ttl_s=KEEP_RECEIPTS_S)])
            try:
                self._bus.admit("payments", store.effects(account, events) + kept, log.current("trace"))
            except GuardFailed:
                continue  # an order or another request was faster; decide again on what it left
            return receipt
        raise Unavailable("the account is in constant use; nothing was done", retry_after_s=1)


def _receipt(account: Account, cents: int) -> Receipt:
    return Receipt(amount_cents=cents, available_cents=account.available_cents, held_cents=account.held_cents)


def _first_receipt(row: Mapping[str, str], cents: int) -> Receipt:
    receipt = msgspec.convert(row, Receipt, strict=False)
    if receipt.amount_cents != cents:
        raise KeyReused(f"it was used for {receipt.amount_cents} cents")
    return receipt
