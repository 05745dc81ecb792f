"""The books and the payment table, without any server."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import payments as events
from contracts.orders import AuthorizePayment, CapturePayment, RefundPayment, ReleasePayment
from services.payments import accounts, ledger
from services.payments.accounts import InsufficientFunds, Terms
from services.payments.domain import ENDED, MOVES, Command, Move, OutOfOrder, Payment, State, decide, payment_after
from services.payments.ledger import TRANSFERS, Account, Event, Place, fold, postings, totals

TERMS = Terms(welcome_credit_cents=500, payment_limit_cents=2_000)
RICH = Account("c1", available_cents=5_000, sequence=2)
AUTHORIZE = AuthorizePayment(order_id="o1", customer_id="c1", amount_cents=300)
UNKNOWN = Payment("o1", "c1")
HELD = Payment("o1", "c1", State.HELD, 300)
CAPTURED = Payment("o1", "c1", State.CAPTURED, 300)
MONEY = [kind for kind, transfer in TRANSFERS.items() if transfer]


def command(kind: type[Command]) -> Command:
    return AUTHORIZE if kind is AuthorizePayment else kind(order_id="o1", customer_id="c1")  # type: ignore[call-arg]


def event(kind: type[Event], cents: int) -> Event:
    known: dict[str, Any] = {"customer_id": "c1", "order_id": "o1", "amount_cents": cents, "reason": "why"}
    return kind(**{name: known.get(name, "some-id") for name in kind.__struct_fields__})


@pytest.mark.feature("F06")
def test_every_event_of_payments_says_what_it_moves() -> None:
    told = {t for t in vars(events).values() if isinstance(t, type) and issubclass(t, events._Event)} - {events._Event}

    assert set(TRANSFERS) == set(get_args(Event)) == told


@pytest.mark.feature("F06")
@given(st.lists(st.tuples(st.sampled_from(list(TRANSFERS)), st.integers(0, 10**9))))
def test_any_history_adds_up_to_zero(history: list[tuple[type[Event], int]]) -> None:
    happened = [event(kind, cents) for kind, cents in history]

    assert sum(posting.amount_cents for e in happened for posting in postings(e)) == 0
    after, change = fold(Account("c1"), happened), totals(happened)
    assert (after.available_cents, after.held_cents) == (change[Place.AVAILABLE], change[Place.HELD])
    assert after.sequence == len(happened)


@pytest.mark.parametrize("kind", MONEY)
def test_an_event_moves_its_amount_between_two_accounts_of_the_books(kind: type[Event]) -> None:
    source, target = postings(event(kind, 70))

    assert (source.amount_cents, target.amount_cents) == (-70, 70)
    assert source.account != target.account


def test_the_house_has_one_account_of_a_kind_and_each_customer_their_own() -> None:
    held = ledger.Posting("c1", Place.HELD, 1)
    bank = ledger.Posting("c1", Place.BANK, 1)

    assert (held.account, bank.account) == ("customer:c1:held", "bank")


def test_the_table_has_no_blank_cell() -> None:
    assert set(MOVES) == set(State)
    assert all(set(moves) == set(get_args(Command)) for moves in MOVES.values())
    assert all(Move.DO not in MOVES[state].values() for state in ENDED)


@pytest.mark.parametrize(("state", "kind"), [(s, k) for s, row in MOVES.items() for k in row])
def test_every_cell_does_what_the_table_says(state: State, kind: type[Command]) -> None:
    payment = Payment("o1", "c1", state, 300 if state in {State.HELD, State.CAPTURED, State.REFUNDED} else 0)
    if MOVES[state][kind] is Move.RAISE:
        with pytest.raises(OutOfOrder, match=f"{kind.__name__}, but the payment is {state}"):
            decide(command(kind), payment, RICH, TERMS)
        return

    decision = decide(command(kind), payment, RICH, TERMS)

    assert len(decision.events) == (MOVES[state][kind] in {Move.HOLD, Move.DO})
    assert len(decision.events) + len(decision.answers) == 1


@pytest.mark.parametrize(
    ("kind", "payment"),
    [
        (AuthorizePayment, UNKNOWN),
        (ReleasePayment, HELD),
        (ReleasePayment, UNKNOWN),
        (CapturePayment, HELD),
        (RefundPayment, CAPTURED),
    ],
)
def test_a_command_done_twice_is_answered_alike_the_second_time(kind: type[Command], payment: Payment) -> None:
    (first,) = decide(command(kind), payment, RICH, TERMS).events
    again = decide(command(kind), payment_after(first), RICH, TERMS)  # type: ignore[arg-type]

    assert again.events == ()
    assert again.answers == (first,)


def test_an_undo_that_overtakes_the_hold_makes_it_decline() -> None:
    (released,) = decide(command(ReleasePayment), UNKNOWN, RICH, TERMS).events
    late = decide(AUTHORIZE, payment_after(released), RICH, TERMS)  # type: ignore[arg-type]

    assert released == events.PaymentReleased(order_id="o1", customer_id="c1", amount_cents=0)
    assert late.events == ()
    assert late.answers == (events.PaymentDeclined(order_id="o1", customer_id="c1", reason="cancelled"),)


@pytest.mark.parametrize(
    ("cents", "reason"),
    [
        (-1, "amount below zero"),
        (2_001, "above the limit of a single payment"),
        (1_501, "insufficient funds"),
    ],
)
def test_each_rule_declines_with_its_reason(cents: int, reason: str) -> None:
    asked = AuthorizePayment(order_id="o1", customer_id="c1", amount_cents=cents)
    account = Account("c1", available_cents=1_500, held_cents=9_000, sequence=1)

    assert decide(asked, UNKNOWN, account, TERMS).events == (
        events.PaymentDeclined(order_id="o1", customer_id="c1", reason=reason),
    )


@pytest.mark.parametrize("cents", [0, 1_500])
def test_up_to_the_last_cent_is_held(cents: int) -> None:
    asked = AuthorizePayment(order_id="o1", customer_id="c1", amount_cents=cents)
    (held,) = decide(asked, UNKNOWN, Account("c1", available_cents=1_500, sequence=1), TERMS).events

    assert held == events.PaymentAuthorized(order_id="o1", customer_id="c1", amount_cents=cents)


def test_an_order_that_overtakes_the_registration_opens_the_account_and_is_paid() -> None:
    happened = decide(AUTHORIZE, UNKNOWN, Account("c1"), TERMS).events

    assert [type(e).__name__ for e in happened] == ["AccountOpened", "MoneyDeposited", "PaymentAuthorized"]
    assert fold(Account("c1"), happened) == Account("c1", available_cents=200, held_cents=300, sequence=3)


def test_a_payment_of_another_customer_is_left_alone() -> None:
    stranger = CapturePayment(order_id="o1", customer_id="c2")

    with pytest.raises(OutOfOrder, match="another customer"):
        decide(stranger, HELD, Account("c2", sequence=1), TERMS)


def test_a_welcome_of_nothing_is_no_deposit() -> None:
    assert accounts.open_account(Account("c1"), Terms(welcome_credit_cents=0)) == (
        events.AccountOpened(customer_id="c1"),
    )


def test_what_is_held_cannot_be_withdrawn() -> None:
    account = Account("c1", available_cents=100, held_cents=900, sequence=4)

    with pytest.raises(InsufficientFunds) as refused:
        accounts.withdraw(account, 101, "w1", TERMS)

    assert (refused.value.status, refused.value.kind, refused.value.extra) == (
        409, "insufficient-funds", {"available_cents": 100},
    )  # fmt: skip
    assert fold(account, accounts.withdraw(account, 100, "w1", TERMS)).available_cents == 0
