"""Deposits and withdrawals, repeated and disturbed."""

from __future__ import annotations

import pytest

from contracts.orders import AuthorizePayment
from sagashop.effects import Effects
from sagashop.errors import Unavailable
from services.payments.accounts import InsufficientFunds
from services.payments.teller import KeyReused, Teller
from tests.unit.payments_world import TERMS, World


class BusyWorld(World):
    """Somebody else is faster at the first `busy` attempts."""

    def __init__(self, busy: int) -> None:
        super().__init__()
        self.busy = busy

    def admit(self, service: str, effects: Effects, trace: str = "") -> None:
        if self.busy and service == "payments":
            self.busy -= 1
            order = AuthorizePayment(order_id=f"other-{self.busy}", customer_id="c1", amount_cents=10)
            super().admit("other", self.decide(order))
        super().admit(service, effects, trace)


def test_a_deposit_repeated_under_its_id_gets_the_first_receipt_and_counts_once() -> None:
    world = World()
    teller = Teller(world, TERMS)  # type: ignore[arg-type]
    first = teller.deposit("c1", 100, "d1")
    teller.deposit("c1", 50, "d2")

    assert teller.deposit("c1", 100, "d1") == first
    assert world.balance("c1") == (650, 0)


def test_another_amount_under_the_same_id_is_refused() -> None:
    world = World()
    teller = Teller(world, TERMS)  # type: ignore[arg-type]
    teller.deposit("c1", 100, "d1")

    with pytest.raises(KeyReused) as refused:
        teller.deposit("c1", 101, "d1")
    assert refused.value.status == 422
    assert world.balance("c1") == (600, 0)


def test_ids_of_deposits_and_withdrawals_and_customers_do_not_meet() -> None:
    world = World()
    teller = Teller(world, TERMS)  # type: ignore[arg-type]
    teller.deposit("c1", 100, "same")
    teller.withdraw("c1", 70, "same")
    teller.deposit("c2", 30, "same")

    assert (world.balance("c1"), world.balance("c2")) == ((530, 0), (530, 0))


def test_a_withdrawal_decides_again_on_what_a_faster_order_left() -> None:
    world = BusyWorld(busy=1)
    teller = Teller(world, TERMS)  # type: ignore[arg-type]

    with pytest.raises(InsufficientFunds, match="490 cents"):
        teller.withdraw("c1", 500, "w1")
    assert world.balance("c1") == (490, 10)


def test_an_account_in_constant_use_answers_503_in_the_end_and_nothing_is_done() -> None:
    world = BusyWorld(busy=1_000)

    with pytest.raises(Unavailable):
        Teller(world, TERMS).deposit("c1", 100, "d1")  # type: ignore[arg-type]
    available_cents, held_cents = world.balance("c1")
    assert available_cents + held_cents == 500
