"""Each handler of payments, called twice."""

from __future__ import annotations

import pytest

from contracts.orders import AuthorizePayment, CapturePayment, RefundPayment, ReleasePayment
from contracts.payments import PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentReleased
from contracts.storefront import CustomerRegistered
from sagashop.bus import GuardFailed
from sagashop.effects import Put, Recorded
from sagashop.messages import Message
from services.payments import store
from services.payments.domain import OutOfOrder
from services.payments.teller import Teller
from tests.unit.payments_world import TERMS, World

REGISTERED = CustomerRegistered(customer_id="c1", revision=1, name="Demo Customer", email="demo@sagashop.example")
AUTHORIZE = AuthorizePayment(order_id="o1", customer_id="c1", amount_cents=300)
RELEASE = ReleasePayment(order_id="o1", customer_id="c1")
CAPTURE = CapturePayment(order_id="o1", customer_id="c1")
REFUND = RefundPayment(order_id="o1", customer_id="c1")
OF_ORDER = {"order_id": "o1", "customer_id": "c1"}


def world_after(*messages: Message) -> World:
    world = World()
    for message in (REGISTERED, *messages):
        world.deliver(message)
    return world


@pytest.mark.feature("F06")
def test_a_new_customer_gets_an_account_with_the_welcome_credit_once() -> None:
    world = world_after(REGISTERED)

    assert world.balance("c1") == (500, 0)
    assert len(world.history["account:c1"]) == 2
    assert world.totals == {"bank": -500, "available": 500}


@pytest.mark.parametrize(
    ("before", "command", "answer", "balance"),
    [
        ([], AUTHORIZE, PaymentAuthorized(**OF_ORDER, amount_cents=300), (200, 300)),
        ([AUTHORIZE], RELEASE, PaymentReleased(**OF_ORDER, amount_cents=300), (500, 0)),
        ([AUTHORIZE], CAPTURE, PaymentCaptured(**OF_ORDER, amount_cents=300), (200, 0)),
        ([AUTHORIZE, CAPTURE], REFUND, PaymentRefunded(**OF_ORDER, amount_cents=300), (500, 0)),
    ],
)
def test_a_repeated_command_gets_its_answer_again_and_moves_nothing(
    before: list[Message], command: Message, answer: Message, balance: tuple[int, int]
) -> None:
    world = world_after(*before)
    first, rows = world.deliver(command), {key: dict(row) for key, row in world.rows.items()}
    second = world.deliver(command)

    assert first.emitted == second.emitted == [answer]
    assert isinstance(first.emit[0], Recorded)
    assert second.emit == [answer], "a repetition is not recorded again"
    assert second.write == []
    assert world.rows == rows
    assert world.balance("c1") == balance


def test_payment_declined_for_lack_of_money_holds_nothing() -> None:
    world = world_after()
    asked = AuthorizePayment(order_id="o1", customer_id="c1", amount_cents=501)
    world.deliver(asked)
    world.deliver(asked)

    declined = PaymentDeclined(**OF_ORDER, reason="insufficient funds")
    assert world.said[-2:] == [declined, declined]
    assert world.history["account:c1"][2:] == [declined]
    assert world.balance("c1") == (500, 0)


def test_a_declined_order_stays_declined_when_money_has_come_since() -> None:
    world = world_after(AuthorizePayment(order_id="o1", customer_id="c1", amount_cents=501), RELEASE)
    world.deliver(AuthorizePayment(order_id="o1", customer_id="c1", amount_cents=1))

    assert world.said[-1] == PaymentDeclined(**OF_ORDER, reason="insufficient funds")


def test_a_hold_after_its_undo_is_declined_and_the_journal_hears_of_the_undo_once() -> None:
    world = world_after(RELEASE, RELEASE, AUTHORIZE, AUTHORIZE)

    nothing, cancelled = PaymentReleased(**OF_ORDER, amount_cents=0), PaymentDeclined(**OF_ORDER, reason="cancelled")
    assert world.said[-4:] == [nothing, nothing, cancelled, cancelled]
    assert world.history["account:c1"][2:] == [nothing]
    assert world.balance("c1") == (500, 0)


def test_a_capture_without_a_hold_raises_and_so_ends_among_the_dead_letters() -> None:
    world = world_after(RELEASE)

    with pytest.raises(OutOfOrder, match="CapturePayment, but the payment is released"):
        world.decide(CAPTURE)


def test_two_decisions_on_the_same_state_cannot_both_take_hold() -> None:
    world = world_after(AUTHORIZE)
    release, capture = world.decide(RELEASE), world.decide(CAPTURE)
    world.admit("payments", release)

    with pytest.raises(GuardFailed):
        world.admit("payments", capture)
    assert world.balance("c1") == (500, 0)


def test_a_decision_falls_with_the_one_it_was_built_on() -> None:
    """Its batch expected the first order; a deposit came instead, and brought the account to the same sequence."""
    world = world_after()
    first, second = world.decide_batch([
        AuthorizePayment(order_id=order_id, customer_id="c1", amount_cents=300) for order_id in ("o1", "o2")
    ])  # fmt: skip
    Teller(world, TERMS).deposit("c1", 7, "d1")  # type: ignore[arg-type]

    for decision in (first, second):
        with pytest.raises(GuardFailed):
            world.admit("payments", decision)
    assert world.balance("c1") == (507, 0)


@pytest.mark.parametrize(("command", "ttl_s"), [(RELEASE, 30 * 24 * 3600), (CAPTURE, None)])
def test_an_ended_payment_is_kept_for_a_month_and_a_captured_one_for_good(command: Message, ttl_s: int | None) -> None:
    writes = world_after(AUTHORIZE).decide(command).write

    assert [w.ttl_s for w in writes if isinstance(w, Put) and w.key == store.payment_key("o1")] == [ttl_s]
