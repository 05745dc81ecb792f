"""What may happen to an account without an order: it opens, money comes in, money goes out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.payments import AccountOpened, MoneyDeposited, MoneyWithdrawn
from sagashop.errors import Conflict
from services.payments.ledger import Account, Event, fold


class InsufficientFunds(Conflict):
    kind, title = "insufficient-funds", "There is not enough on the account"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the house has decided, in cents."""

    welcome_credit_cents: int = 50_000
    payment_limit_cents: int = 200_000


def open_account(account: Account, terms: Terms) -> Sequence[Event]:
    """Open the account with the welcome credit; nothing where it is open.

    An account opens with the first message that names the customer, whichever it is. So an order that overtakes
    CustomerRegistered is paid at once, where waiting for a retry would cost the new customer seconds.
    """
    if account.sequence:
        return ()
    opened = AccountOpened(customer_id=account.customer_id)
    if not terms.welcome_credit_cents:
        return (opened,)
    return opened, MoneyDeposited(
        customer_id=account.customer_id, amount_cents=terms.welcome_credit_cents, deposit_id="welcome"
    )


def deposit(account: Account, amount_cents: int, deposit_id: str, terms: Terms) -> Sequence[Event]:
    """Bring money in; `amount_cents` is above zero."""
    deposited = MoneyDeposited(customer_id=account.customer_id, amount_cents=amount_cents, deposit_id=deposit_id)
    return (*open_account(account, terms), deposited)


def withdraw(account: Account, amount_cents: int, withdrawal_id: str, terms: Terms) -> Sequence[Event]:
    """Take available money out; `amount_cents` is above zero. What is held for orders stays.

    Raises:
        InsufficientFunds: less than that is available.
    """
    opening = open_account(account, terms)
    available_cents = fold(account, opening).available_cents
    if amount_cents > available_cents:
        raise InsufficientFunds(f"{available_cents} cents are available", available_cents=available_cents)
    withdrawn = MoneyWithdrawn(customer_id=account.customer_id, amount_cents=amount_cents, withdrawal_id=withdrawal_id)
    return (*opening, withdrawn)
