"""What payments can say of its own house: not a cent is lost or made, and no order is charged or refunded twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, func, select

from contracts.payments import PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentReleased
from sagashop.audit.elsewhere import Elsewhere
from sagashop.audit.facts import Check, Fact, PaymentFact, Tally
from sagashop.audit.house import House
from sagashop.audit.past import Past
from sagashop.audit.rows import rows_by_id
from sagashop.messages import now_ms
from sagashop.streams.commit import load_rows
from services.payments import store
from services.payments.domain import ENDED, STATE_AFTER, Payment, payment_after
from services.payments.ledger import Account, Place, evolve, postings
from services.payments.ledger import totals as moved
from services.payments.postings import Postings, event_of, table

if TYPE_CHECKING:
    from redis import Redis

SERVICE = "payments"


def house(redis: Redis, engine: Engine, channels: list[str], elsewhere: Sequence[Elsewhere] = ()) -> House:
    """The house as the auditor sees it."""
    return House(SERVICE, redis, channels, elsewhere=elsewhere, examine=lambda: PaymentsAudit(redis, engine).facts())


class PaymentsAudit:
    """Folds every account and every payment from the journal once, then compares."""

    def __init__(self, redis: Redis, engine: Engine) -> None:
        self._redis, self._engine = redis, engine
        self._past = Past(SERVICE, engine, redis, "payments.events")
        self._accounts: dict[str, Account] = {}
        self._payments: dict[str, Payment] = {}
        self._events: dict[str, Counter[str]] = {}
        self._paid_ms: dict[str, int] = {}
        self._places: Counter[Place] = Counter()
        self._postings = 0
        self._readable = Tally("every event can be read")

    def facts(self) -> Iterator[Fact]:
        """Checks, then one fact for each payment."""
        for row in self._past.rows():
            self._take(row)
        yield from self._past.checks()
        yield self._readable.check(SERVICE)
        yield self._once()
        yield self._account_rows()
        yield self._payment_rows()
        yield self._totals()
        yield self._past.model_is_current(Postings())
        yield from self._books()
        yield from map(self._fact, self._payments.values())

    def _take(self, row: Any) -> None:
        self._readable.saw()
        try:
            event: Any = event_of(row)
        except (ValueError, KeyError) as wrong:
            self._readable.found(f"{row.aggregate}, number {row.sequence}, {row.type}: {wrong}")
            return
        customer_id = event.customer_id
        self._accounts[customer_id] = evolve(self._accounts.get(customer_id) or Account(customer_id), event)
        self._places.update(moved([event]))
        self._postings += len(postings(event))
        if type(event) in STATE_AFTER:
            self._payments[event.order_id] = payment_after(event)
            self._events.setdefault(event.order_id, Counter())[row.type] += 1
            self._paid_ms[event.order_id] = row.time_ms

    def _once(self) -> Check:
        tally = Tally("no order is held, captured, released or refunded twice")
        for order_id, events in self._events.items():
            tally.saw()
            if wrong := _wrong_events(events):
                tally.found(f"order {order_id}: {wrong}")
        return tally.check(SERVICE)

    def _account_rows(self) -> Check:
        tally = Tally("every account in redis-ledger is the fold of its journal, and not below zero")
        for customer_id, row in rows_by_id(self._redis, self._accounts, store.account_key):
            told, kept = self._accounts[customer_id], store.account_of(customer_id, row)
            tally.saw()
            if kept != told:
                tally.found(f"customer {customer_id}: {_cents(kept)} in the row, {_cents(told)} in the journal")
            if min(kept.available_cents, kept.held_cents) < 0:
                tally.found(f"customer {customer_id}: {_cents(kept)}")
        return tally.check(SERVICE)

    def _payment_rows(self) -> Check:
        """A payment that has ended leaves redis-ledger after 30 days."""
        tally, forgotten_ms = Tally("every payment in redis-ledger is the fold of its journal"), now_ms()
        forgotten_ms -= store.KEEP_ENDED_S * 1000
        for order_id, row in rows_by_id(self._redis, self._payments, store.payment_key):
            told = self._payments[order_id]
            tally.saw()
            if not row and told.state in ENDED and self._paid_ms[order_id] < forgotten_ms:
                continue
            kept = store.payment_of(order_id, told.customer_id, row)
            if kept != told:
                tally.found(f"order {order_id}: {_said(kept)} in the row, {_said(told)} in the journal")
        return tally.check(SERVICE)

    def _totals(self) -> Check:
        tally = Tally("the running totals add up to zero, and are those of the journal")
        row = load_rows(self._redis, [store.TOTALS])[store.TOTALS]
        running = {place: int(row.get(place, 0)) for place in Place}
        tally.saw(len(running))
        if sum(running.values()):
            tally.found(f"the running totals add up to {sum(running.values())} cents")
        for place, cents in running.items():
            if cents != self._places[place]:
                tally.found(f"{place.value}: {cents} cents in redis-ledger, {self._places[place]} in the journal")
        return tally.check(SERVICE)

    def _books(self) -> Iterator[Check]:
        """SQL adds the postings up; no row of them is read one by one."""
        zero, same = Tally("the books add up to zero"), Tally("the books are the fold of the journal")
        cents, by = func.sum(table.c.amount_cents), (table.c.customer_id, table.c.place)
        query = select(*by, cents).group_by(*by)
        with self._engine.connect() as conn:
            booked = {(row[0], row[1]): int(row[2]) for row in conn.execute(query)}
            lines = int(conn.scalar(select(func.count()).select_from(table)) or 0)
        zero.saw(lines)
        if off := sum(booked.values()):
            zero.found(f"the postings add up to {off} cents")
        if lines != self._postings:
            same.found(f"{lines} postings in the books, {self._postings} in the journal")
        for customer_id, account in self._accounts.items():
            same.saw()
            told = (account.available_cents, account.held_cents)
            kept = tuple(booked.get((customer_id, place.value), 0) for place in (Place.AVAILABLE, Place.HELD))
            if kept != told:
                same.found(f"customer {customer_id}: (available, held) is {kept} in the books, {told} in the journal")
        yield zero.check(SERVICE)
        yield same.check(SERVICE)

    def _fact(self, payment: Payment) -> PaymentFact:
        return PaymentFact(
            order_id=payment.order_id, customer_id=payment.customer_id, status=payment.state.value,
            amount_cents=payment.amount_cents, events=dict(self._events[payment.order_id]),
        )  # fmt: skip


def _wrong_events(events: Counter[str]) -> str:
    """What is wrong with the events of one payment, in words; empty where nothing is."""
    held, captured = events[PaymentAuthorized.__name__], events[PaymentCaptured.__name__]
    released, refunded = events[PaymentReleased.__name__], events[PaymentRefunded.__name__]
    twice = [name for name, count in events.items() if count > 1]
    if twice:
        return f"{', '.join(sorted(twice))} more than once"
    if captured > held or refunded > captured:
        return "captured without a hold, or refunded without a capture"
    if captured and released:
        return "captured, and released too"
    if held and events[PaymentDeclined.__name__]:
        return "held, and declined too"
    return ""


def _said(payment: Payment) -> str:
    return f"{payment.state.value}, {payment.amount_cents} cents"


def _cents(account: Account) -> str:
    return f"{account.available_cents} + {account.held_cents} cents after event {account.sequence}"
