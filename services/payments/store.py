"""Payments' keys, what their rows say, and the effects of events on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.payments import AccountOpened, MoneyDeposited, MoneyWithdrawn
from sagashop import keys
from sagashop.effects import Add, Effects, Expect, Put, Recorded, Value, Write
from sagashop.messages import Message
from services.payments.domain import ENDED, Payment, State, payment_after
from services.payments.ledger import Account, Event, aggregate, fold, totals

TOTALS = keys.own("payments", "totals")
"""Hash: cents by place, over all customers. It is hot, so it is only ever added to, without a guard."""

Row = dict[str, Value]

KEEP_ENDED_S = 30 * 24 * 3600
"""The row of an ended payment answers repeated commands this long; the journal keeps its events for good."""


def account_key(customer_id: str) -> str:
    """Hash: the snapshot of an account (available_cents, held_cents, sequence)."""
    return keys.own("payments", "account", customer_id)


def payment_key(order_id: str) -> str:
    """Hash: the payment of an order (state, customer_id, amount_cents, reason)."""
    return keys.own("payments", "payment", order_id)


def receipt_key(kind: str, customer_id: str, request_id: str) -> str:
    """Hash: the first answer to a deposit or withdrawal, by the id the customer gave it."""
    return keys.own("payments", kind, customer_id, request_id)


def account_of(customer_id: str, row: Mapping[str, str]) -> Account:
    """The account in this row; not open where the row is empty."""
    return Account(customer_id, *(int(row.get(name, 0)) for name in ("available_cents", "held_cents", "sequence")))


def payment_of(order_id: str, customer_id: str, row: Mapping[str, str]) -> Payment:
    """The payment in this row; where it is empty, one of this customer that nothing is known of."""
    if not row:
        return Payment(order_id, customer_id)
    return Payment(order_id, row["customer_id"], State(row["state"]), int(row["amount_cents"]), row["reason"])


def effects(
    account: Account, events: Sequence[Event], *, payment: Payment | None = None, answers: Sequence[Message] = ()
) -> Effects:
    """Record these events on the account, and emit the answers beside them.

    Every change of an account moves its sequence, and a payment never comes back to a state that it has left; so these
    two guard all that the decision has read. What a batch adds to that is in sagashop/batch.py.
    """
    history = [
        Recorded(event, aggregate(account.customer_id), account.sequence + place)
        for place, event in enumerate(events, start=1)
    ]
    guards = [Expect(account_key(account.customer_id), "sequence", account.sequence or None)]
    if payment is not None:
        known = payment.state is not State.UNKNOWN
        guards.append(Expect(payment_key(payment.order_id), "state", payment.state if known else None))
    return Effects(emit=[*history, *answers], write=_writes(account, events) if events else [], expect=[*guards])


_MONEY_ONLY = AccountOpened | MoneyDeposited | MoneyWithdrawn


def _writes(account: Account, events: Sequence[Event]) -> list[Write]:
    payments = [payment_after(event) for event in events if not isinstance(event, _MONEY_ONLY)]
    return [
        Put(account_key(account.customer_id), _account_row(fold(account, events))),
        *(Put(payment_key(p.order_id), _payment_row(p), KEEP_ENDED_S if p.state in ENDED else None) for p in payments),
        *(Add(TOTALS, place, cents) for place, cents in totals(events).items() if cents),
    ]


def _account_row(account: Account) -> Row:
    return {
        "available_cents": account.available_cents,
        "held_cents": account.held_cents,
        "sequence": account.sequence,
    }


def _payment_row(payment: Payment) -> Row:
    return {
        "state": payment.state,
        "customer_id": payment.customer_id,
        "amount_cents": payment.amount_cents,
        "reason": payment.reason,
    }
