"""What the saga's commands do to the payment of an order. Pure: command, payment and account in, events out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum

from msgspec import Struct

from contracts.orders import AuthorizePayment, CapturePayment, RefundPayment, ReleasePayment
from contracts.payments import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentReleased,
)
from sagashop.errors import SagashopError
from services.payments.accounts import Terms, open_account
from services.payments.ledger import Account, Event, PaymentEvent, fold

Command = AuthorizePayment | ReleasePayment | CapturePayment | RefundPayment


class OutOfOrder(SagashopError):
    """A command that this payment cannot follow. It is retried, then set aside with this reason; no money moves."""


class State(StrEnum):
    """The payment of one order."""

    UNKNOWN = "unknown"
    HELD = "held"
    DECLINED = "declined"
    RELEASED = "released"
    CAPTURED = "captured"
    REFUNDED = "refunded"


ENDED = frozenset({State.DECLINED, State.RELEASED, State.REFUNDED})
"""No command leads out of these. A captured payment can be refunded at any time."""


class Payment(Struct, frozen=True):
    """`amount_cents` is what was held for the order (0 where nothing was), `reason` why it was declined."""

    order_id: str
    customer_id: str
    state: State = State.UNKNOWN
    amount_cents: int = 0
    reason: str = ""


class Decision(Struct, frozen=True):
    """`events` happen now and enter the history; `answers` only say again what has happened before."""

    events: tuple[Event, ...] = ()
    answers: tuple[PaymentEvent, ...] = ()


class Rule(Struct, frozen=True):
    """A named reason to decline a payment."""

    reason: str
    declines: Callable[[int, Account, Terms], bool]


DECLINE_RULES = (
    Rule("amount below zero", lambda cents, _account, _terms: cents < 0),
    Rule("above the limit of a single payment", lambda cents, _account, terms: cents > terms.payment_limit_cents),
    Rule("insufficient funds", lambda cents, account, _terms: cents > account.available_cents),
)
"""The first rule that applies gives the reason."""


class Move(Enum):
    """What a command does to a payment."""

    HOLD = "hold the amount, or decline by the rules"
    DO = "carry it out"
    AGAIN = "give the answer once more"
    DECLINE = "decline: the reason given before, or `cancelled`"
    RAISE = "OutOfOrder: the saga never asks this, since it waits for the answer before it goes on"


_HOLD, _DO, _AGAIN, _DECLINE, _RAISE = Move
_COMMANDS: tuple[type[Command], ...] = (AuthorizePayment, ReleasePayment, CapturePayment, RefundPayment)
_TABLE = {
    #               AuthorizePayment  ReleasePayment  CapturePayment  RefundPayment
    State.UNKNOWN:  (_HOLD,           _DO,            _RAISE,         _RAISE),
    State.HELD:     (_AGAIN,          _DO,            _DO,            _RAISE),
    State.DECLINED: (_DECLINE,        _AGAIN,         _RAISE,         _RAISE),
    State.RELEASED: (_DECLINE,        _AGAIN,         _RAISE,         _RAISE),
    State.CAPTURED: (_AGAIN,          _RAISE,         _AGAIN,         _DO),
    State.REFUNDED: (_DECLINE,        _RAISE,         _AGAIN,         _AGAIN),
}  # fmt: skip
# Releasing an unknown payment releases 0 cents. That is the tombstone: a hold that comes after it is declined.
MOVES = {state: dict(zip(_COMMANDS, moves, strict=True)) for state, moves in _TABLE.items()}

STATE_AFTER: Mapping[type[PaymentEvent], State] = {
    PaymentAuthorized: State.HELD,
    PaymentDeclined: State.DECLINED,
    PaymentReleased: State.RELEASED,
    PaymentCaptured: State.CAPTURED,
    PaymentRefunded: State.REFUNDED,
}


def decide(command: Command, payment: Payment, account: Account, terms: Terms) -> Decision:
    """What this command does to the payment of its order.

    Raises:
        OutOfOrder: the payment's state has no answer to it, or the payment is another customer's.
    """
    if payment.customer_id != command.customer_id:
        raise OutOfOrder(f"order {command.order_id}: the payment is of another customer than the command names")
    opening = open_account(account, terms)
    match MOVES[payment.state][type(command)]:
        case Move.HOLD if isinstance(command, AuthorizePayment):
            return Decision(events=(*opening, _hold_or_decline(command, fold(account, opening), terms)))
        case Move.DO:
            return Decision(events=(*opening, _answer(command, payment)))
        case Move.AGAIN:
            return Decision(answers=(_answer(command, payment),))
        case Move.DECLINE:
            return Decision(answers=(_declined(command, payment.reason or "cancelled"),))
        case _:
            raise OutOfOrder(f"order {command.order_id}: {type(command).__name__}, but the payment is {payment.state}")


def payment_after(event: PaymentEvent) -> Payment:
    """The payment as this event leaves it; an event says all there is to know."""
    amount_cents, reason = (0, event.reason) if isinstance(event, PaymentDeclined) else (event.amount_cents, "")
    return Payment(event.order_id, event.customer_id, STATE_AFTER[type(event)], amount_cents, reason)


def _hold_or_decline(command: AuthorizePayment, account: Account, terms: Terms) -> PaymentEvent:
    cents = command.amount_cents
    for rule in DECLINE_RULES:
        if rule.declines(cents, account, terms):
            return _declined(command, rule.reason)
    return PaymentAuthorized(order_id=command.order_id, customer_id=command.customer_id, amount_cents=cents)


_ANSWERS: Mapping[type[Command], type[PaymentAuthorized | PaymentReleased | PaymentCaptured | PaymentRefunded]] = {
    AuthorizePayment: PaymentAuthorized,
    ReleasePayment: PaymentReleased,
    CapturePayment: PaymentCaptured,
    RefundPayment: PaymentRefunded,
}


def _answer(command: Command, payment: Payment) -> PaymentEvent:
    answer = _ANSWERS[type(command)]
    return answer(order_id=payment.order_id, customer_id=payment.customer_id, amount_cents=payment.amount_cents)


def _declined(command: Command, reason: str) -> PaymentDeclined:
    return PaymentDeclined(order_id=command.order_id, customer_id=command.customer_id, reason=reason)
