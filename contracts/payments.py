"""What payments tells the others. Amounts are integer cents."""

from __future__ import annotations

from typing import ClassVar

from sagashop.messages import Message


class _Event(Message):
    channel: ClassVar[str] = "payments.events"


class AccountOpened(_Event):
    customer_id: str


class MoneyDeposited(_Event):
    """Money came in from outside."""

    customer_id: str
    amount_cents: int
    deposit_id: str


class MoneyWithdrawn(_Event):
    """Money went out to the customer's bank."""

    customer_id: str
    amount_cents: int
    withdrawal_id: str


class PaymentAuthorized(_Event):
    """The amount is held for the order."""

    order_id: str
    customer_id: str
    amount_cents: int


class PaymentDeclined(_Event):
    """Nothing is held; `reason` says why."""

    order_id: str
    customer_id: str
    reason: str


class PaymentReleased(_Event):
    """Nothing is held for the order any more. `amount_cents` is 0 where nothing had been."""

    order_id: str
    customer_id: str
    amount_cents: int


class PaymentCaptured(_Event):
    """The held amount is paid."""

    order_id: str
    customer_id: str
    amount_cents: int


class PaymentRefunded(_Event):
    """The paid amount is back on the customer's account."""

    order_id: str
    customer_id: str
    amount_cents: int
