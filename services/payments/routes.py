"""Payments over HTTP."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, request
from msgspec import Meta, structs
from sqlalchemy import Engine

from sagashop import pages
from sagashop.bus import Bus
from sagashop.errors import Forbidden, NotLoggedIn
from sagashop.messages import new_id
from sagashop.web.auth import require_customer, require_operator
from sagashop.web.inputs import Answer, accepts, invalid
from services.payments import postings, store
from services.payments.accounts import InsufficientFunds
from services.payments.ledger import Account, Place
from services.payments.teller import KeyReused, Teller
from services.payments.views import (
    MAX_ID,
    AccountView,
    Balance,
    Deposit,
    Deposited,
    LedgerView,
    NoAccount,
    Statement,
    Totals,
    Withdrawal,
    Withdrawn,
)  # fmt: skip

Sequence = Annotated[int, Meta(ge=1, le=2**31)]


def own_account(bus: Bus, teller: Teller, engine: Engine) -> Blueprint:
    """What customers do with their own account."""
    routes = Blueprint("own_account", __name__, url_prefix="/api/accounts/me")

    @routes.get("")
    @accepts(answers=Balance, problems=[NotLoggedIn, Forbidden])
    def balance() -> Answer:
        account = _account(bus, require_customer().user_id)
        return Balance(available_cents=account.available_cents, held_cents=account.held_cents)

    @routes.get("/statement")
    @accepts(query=pages.Paging, answers=Statement, problems=[NotLoggedIn, Forbidden, pages.BadCursor])
    def statement(query: pages.Paging) -> Answer:
        customer_id = require_customer().user_id
        (before,) = pages.decode(query.cursor, tuple[Sequence]) or (None,)
        with engine.connect() as conn:
            found = postings.statement(conn, customer_id, before=before, limit=query.limit + 1)
        shown, more = found[: query.limit], len(found) > query.limit
        return Statement(items=shown, next_cursor=pages.encode((shown[-1].sequence,)) if more else None)

    @routes.post("/deposits")
    @accepts(json=Deposit, answers={201: Deposited}, problems=[NotLoggedIn, Forbidden, KeyReused])
    def deposit(json: Deposit) -> Answer:
        customer_id, deposit_id = require_customer().user_id, json.deposit_id or _idempotency_key() or new_id()
        receipt = teller.deposit(customer_id, json.amount_cents, deposit_id)
        return Deposited(**structs.asdict(receipt), deposit_id=deposit_id), 201

    @routes.post("/withdrawals")
    @accepts(json=Withdrawal, answers={201: Withdrawn}, problems=[NotLoggedIn, Forbidden, InsufficientFunds, KeyReused])
    def withdraw(json: Withdrawal) -> Answer:
        customer_id, withdrawal_id = require_customer().user_id, json.withdrawal_id or _idempotency_key() or new_id()
        receipt = teller.withdraw(customer_id, json.amount_cents, withdrawal_id)
        return Withdrawn(**structs.asdict(receipt), withdrawal_id=withdrawal_id), 201

    return routes


def all_accounts(bus: Bus, engine: Engine) -> Blueprint:
    """What operators see."""
    routes = Blueprint("all_accounts", __name__)

    @routes.get("/api/accounts/<customer_id>")
    @accepts(answers=AccountView, problems=[NotLoggedIn, Forbidden, NoAccount])
    def account(customer_id: str) -> Answer:
        require_operator()
        found = _account(bus, customer_id)
        if not found.sequence:
            raise NoAccount(f"{customer_id} has none, or it is not open yet.")
        with engine.connect() as conn:
            told = postings.rebuilt(conn, customer_id)
        return AccountView.of(found, told)

    @routes.get("/admin/payments/ledger")
    @accepts(answers=LedgerView, problems=[NotLoggedIn, Forbidden])
    def ledger() -> Answer:
        require_operator()
        with engine.connect() as conn:
            books = postings.totals(conn)
        row = bus.load([store.TOTALS])[store.TOTALS]
        running = {place: int(row.get(place, 0)) for place in Place}
        return LedgerView(
            balanced=sum(books.values()) == 0 == sum(running.values()),
            current=books == running,
            books=Totals.of(books),
            running=Totals.of(running),
        )

    return routes


def _account(bus: Bus, customer_id: str) -> Account:
    key = store.account_key(customer_id)
    return store.account_of(customer_id, bus.load([key])[key])


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_ID:
        raise invalid("Idempotency-Key", f"at most {MAX_ID} characters")
    return key
