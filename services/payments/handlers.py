"""Messages in. Each handler decides; the commit makes the decision take hold exactly once."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from contracts.orders import AuthorizePayment, CapturePayment, RefundPayment, ReleasePayment
from contracts.storefront import CustomerRegistered
from sagashop.effects import NOTHING, Effects, Rows
from sagashop.handlers import Handlers
from services.payments import accounts, domain, store
from services.payments.ledger import Account


class Books(Struct, frozen=True):
    """What a decision needs: the customer's account, and for a command the payment of its order."""

    account: Account
    payment: domain.Payment | None


def make_handlers(terms: accounts.Terms) -> Handlers:
    """The handlers of payments, under these terms."""
    handlers = Handlers(keys=_keys, view=_books)

    @handlers.on(CustomerRegistered)
    def open_account(event: CustomerRegistered, books: Books) -> Effects:
        """Open the account of a new customer; storefront may say it again."""
        events = accounts.open_account(books.account, terms)
        return store.effects(books.account, events) if events else NOTHING

    @handlers.on(AuthorizePayment, ReleasePayment, CapturePayment, RefundPayment)
    def carry_out(command: domain.Command, books: Books) -> Effects:
        """Do what the saga asks, or answer again when it was done before.

        Raises:
            OutOfOrder: see domain.MOVES; the entry is retried, then set aside.
        """
        assert books.payment is not None
        decision = domain.decide(command, books.payment, books.account, terms)
        return store.effects(books.account, decision.events, payment=books.payment, answers=decision.answers)

    return handlers


def _keys(message: CustomerRegistered | domain.Command) -> Iterable[str]:
    yield store.account_key(message.customer_id)
    if not isinstance(message, CustomerRegistered):
        yield store.payment_key(message.order_id)


def _books(message: CustomerRegistered | domain.Command, rows: Rows) -> Books:
    account = store.account_of(message.customer_id, rows.get(store.account_key(message.customer_id), {}))
    if isinstance(message, CustomerRegistered):
        return Books(account, None)
    row = rows.get(store.payment_key(message.order_id), {})
    return Books(account, store.payment_of(message.order_id, message.customer_id, row))
