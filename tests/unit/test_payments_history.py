"""Random lives of a house: commands repeated, late, early and decided on stale rows, with deposits between them."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from contracts.orders import AuthorizePayment, CapturePayment, RefundPayment, ReleasePayment
from contracts.payments import MoneyDeposited, PaymentAuthorized, PaymentCaptured, PaymentRefunded, PaymentReleased
from contracts.storefront import CustomerRegistered
from sagashop.bus import GuardFailed
from services.payments import store
from services.payments.accounts import InsufficientFunds
from services.payments.domain import Command, OutOfOrder, payment_after
from services.payments.ledger import Account, PaymentEvent, fold, postings
from services.payments.teller import KeyReused, Teller
from tests.unit.payments_world import TERMS, World

CUSTOMERS = ["c1", "c2"]
ORDERS = {f"o{n}": CUSTOMERS[n % 2] for n in range(5)}
orders, customers, cents = st.sampled_from(sorted(ORDERS)), st.sampled_from(CUSTOMERS), st.integers(0, 700)
commands = st.one_of(
    st.builds(lambda o, c: AuthorizePayment(order_id=o, customer_id=ORDERS[o], amount_cents=c), orders, cents),
    st.builds(
        lambda kind, o: kind(order_id=o, customer_id=ORDERS[o]),
        st.sampled_from([ReleasePayment, CapturePayment, CapturePayment, RefundPayment]),
        orders,
    ),
)


class House(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.teller = Teller(self.world, TERMS)  # type: ignore[arg-type]

    @rule(customer=customers)
    def register(self, customer: str) -> None:
        self.world.deliver(CustomerRegistered(customer_id=customer, revision=1, name="Demo Customer", email=""))

    @rule(command=commands, times=st.integers(1, 2))
    def command(self, command: Command, times: int) -> None:
        for _ in range(times):
            with suppress(OutOfOrder):
                self.world.deliver(command)

    @rule(batch=st.lists(commands, max_size=5), meanwhile=st.lists(commands, max_size=3))
    def a_batch_is_disturbed(self, batch: list[Command], meanwhile: list[Command]) -> None:
        """Another worker is faster. A pipeline commits on, also where the decision before was refused."""
        decided = self.world.decide_batch(batch)
        for command in meanwhile:
            self.command(command, 1)
        for effects in decided:
            with suppress(GuardFailed):
                self.world.admit("payments", effects)

    @rule(customer=customers, amount=st.integers(1, 400), request=st.sampled_from(["r1", "r2", "r3"]))
    def move_money(self, customer: str, amount: int, request: str) -> None:
        for move in (self.teller.deposit, self.teller.withdraw):
            with suppress(InsufficientFunds, KeyReused):
                move(customer, amount, request)

    @invariant()
    def the_books_add_up_to_zero(self) -> None:
        totals = self.world.totals
        assert sum(totals.values()) == 0
        balances = [self.world.balance(customer) for customer in CUSTOMERS]
        assert [sum(column) for column in zip(*balances, strict=True)] == [
            totals.get("available", 0),
            totals.get("held", 0),
        ]
        assert sum(p.amount_cents for h in self.world.history.values() for e in h for p in postings(e)) == 0

    @invariant()
    def nobody_owes_money(self) -> None:
        assert all(cents >= 0 for customer in CUSTOMERS for cents in self.world.balance(customer))

    @invariant()
    def an_account_is_the_fold_of_its_history(self) -> None:
        for customer in CUSTOMERS:
            row = self.world.rows.get(store.account_key(customer), {})
            assert fold(Account(customer), self.world.history[f"account:{customer}"]) == store.account_of(customer, row)

    @invariant()
    def a_payment_is_the_last_word_about_its_order(self) -> None:
        happened = (e for history in self.world.history.values() for e in history)
        told = {event.order_id: event for event in happened if isinstance(event, PaymentEvent)}
        for order_id, customer in ORDERS.items():
            row = self.world.rows.get(store.payment_key(order_id), {})
            assert bool(row) == (order_id in told)
            if row:
                assert store.payment_of(order_id, customer, row) == payment_after(told[order_id])

    @invariant()
    def each_step_of_an_order_happens_at_most_once(self) -> None:
        happened = [e for h in self.world.history.values() for e in h]
        steps = Counter((type(e), e.order_id) for e in happened if isinstance(e, PaymentEvent))
        assert all(count == 1 for count in steps.values())
        for order_id in ORDERS:
            done = {kind for kind, of in steps if of == order_id}
            assert not {PaymentReleased, PaymentCaptured} <= done
            assert PaymentCaptured not in done or PaymentAuthorized in done
            assert PaymentRefunded not in done or PaymentCaptured in done

    @invariant()
    def each_deposit_happens_at_most_once(self) -> None:
        happened = [e for h in self.world.history.values() for e in h]
        deposits = Counter((e.customer_id, e.deposit_id) for e in happened if isinstance(e, MoneyDeposited))
        assert all(count == 1 for count in deposits.values())


House.TestCase.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
TestHouse = pytest.mark.feature("F06")(House.TestCase)
