"""Orders of arrival that must come out right, each by name: the list in the design, with the real three services."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.fulfillment import ShipmentBooked, ShipmentRequested, StockReleased, StockReserved
from contracts.orders import (
    AuthorizePayment,
    CancelShipment,
    CapturePayment,
    ReleasePayment,
    ReleaseStock,
    RequestShipment,
    ReserveStock,
)
from contracts.payments import PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentReleased
from sagashop.effects import Effects
from sagashop.messages import Message
from services.orders.domain import OrderStatus
from services.payments.domain import State
from tests.unit.checkout_batch import work
from tests.unit.checkout_world import (
    CUSTOMER,
    OPENING,
    WELCOME_CENTS,
    Flight,
    World,
    check_history,
    check_outcome,
    check_sums,
)

pytestmark = pytest.mark.feature("F10")


class TwiceOver(World):
    """Each message comes again as soon as it was handled: commands, answers, timers, and the carrier's answer."""

    def deliver(self, wanted: int | type[Message], order_id: str = "", *, keep: bool = False,
                meanwhile: Callable[[], object] = lambda: None) -> Effects:  # fmt: skip
        first = super().deliver(wanted, order_id, keep=True, meanwhile=meanwhile)
        super().deliver(wanted, order_id, keep=keep)
        return first

    def lose(self, wanted: int | type[Message], order_id: str = "") -> Flight:
        """With every copy of it."""
        lost = super().lose(wanted, order_id)
        self.flying = [flight for flight in self.flying if flight != lost]
        return lost


@pytest.fixture(params=[World, TwiceOver], ids=["once", "twice"])
def world(request: pytest.FixtureRequest) -> World:
    """Every test of this file holds as well where each message comes twice."""
    made: World = request.param()
    return made


def settled(world: World) -> OrderStatus:
    """Let everything come to rest; the order's status."""
    world.settle()
    check_history(world, "o1")
    check_outcome(world, "o1")
    check_sums(world)
    return world.order().status


def test_an_order_goes_all_the_way(world: World) -> None:
    world.place()
    assert settled(world) is OrderStatus.COMPLETED
    assert world.events() == [
        "OrderPlaced",
        "SagaMoved",
        "OrderConfirmed",
        "SagaMoved",
        "OrderCompleted",
        "OrderShipped",
    ]
    assert world.commands() == ["ReserveStock", "AuthorizePayment", "CapturePayment", "RequestShipment"]
    assert (world.mugs, world.balance) == ((OPENING - 1, 0, 1), (WELCOME_CENTS - 100, 0))


def test_stock_rejected_ends_the_order_without_asking_for_money(world: World) -> None:
    world.place(quantity=OPENING + 1)
    assert settled(world) is OrderStatus.REJECTED
    assert world.commands() == ["ReserveStock"]
    assert world.order().reason == "not enough on the shelf"


def declined(world: World) -> None:
    world.rows["{0}:payments:account:c1"]["available_cents"] = "50"
    world.rows["{0}:payments:totals"].update({"available": "50", "bank": "-50"})
    world.place()


def test_payment_declined_releases_stock(world: World) -> None:
    declined(world)
    assert settled(world) is OrderStatus.REJECTED
    assert world.order().reason == "insufficient funds"
    assert world.commands() == ["ReserveStock", "AuthorizePayment", "ReleaseStock"]
    assert world.mugs == (OPENING, 0, 0)


def test_a_command_that_timed_out_but_was_carried_out_is_compensated_too(world: World) -> None:
    world.place()
    world.deliver(ReserveStock)
    world.deliver(StockReserved)
    world.deliver(AuthorizePayment)  # carried out; its answer is late
    assert world.balance == (WELCOME_CENTS - 100, 100)
    world.overdue("payment")
    assert world.order().status is OrderStatus.REJECTING
    assert settled(world) is OrderStatus.REJECTED
    assert world.payment().state is State.RELEASED
    assert world.commands()[-2:] == ["ReleasePayment", "ReleaseStock"], "in reverse"
    assert (world.mugs, world.balance) == ((OPENING, 0, 0), (WELCOME_CENTS, 0))


def test_an_undo_that_overtakes_its_command_makes_the_late_command_fail(world: World) -> None:
    world.place()
    world.deliver(ReserveStock)
    world.deliver(StockReserved)
    world.overdue("payment")
    world.deliver(ReleasePayment)  # before AuthorizePayment
    world.deliver(AuthorizePayment)
    assert world.payment().state is State.RELEASED
    assert any(isinstance(message, PaymentDeclined) for _, message in world.flying)
    assert settled(world) is OrderStatus.REJECTED
    assert world.balance == (WELCOME_CENTS, 0)


def test_a_stock_undo_that_overtakes_its_command_leaves_the_shelf_alone(world: World) -> None:
    world.place()
    assert world.cancel()
    world.deliver(ReleaseStock)
    world.deliver(ReserveStock)
    assert world.mugs == (OPENING, 0, 0)
    assert settled(world) is OrderStatus.CANCELLED


def test_a_reply_after_the_timeout_is_ignored(world: World) -> None:
    world.place()
    world.deliver(ReserveStock)
    world.overdue("stock")
    version = world.order().version
    world.deliver(StockReserved)
    assert world.order().version == version
    assert settled(world) is OrderStatus.REJECTED
    assert world.commands() == ["ReserveStock", "ReleaseStock"]


def test_a_timer_that_was_already_on_its_way_when_the_reply_came_is_ignored(world: World) -> None:
    world.place()
    world.fire(0)
    world.deliver(ReserveStock)
    world.deliver(StockReserved)
    assert settled(world) is OrderStatus.COMPLETED


@pytest.mark.parametrize("first", ["pivot", "cancellation"])
def test_a_cancellation_that_races_with_the_pivot_is_told_who_won(world: World, first: str) -> None:
    world.place()
    for message in (ReserveStock, StockReserved, AuthorizePayment):
        world.deliver(message)
    if first == "pivot":
        stale = world.cancellation()
        world.deliver(PaymentAuthorized)
        assert stale is not None
        assert not world.commit("orders", stale), "the guard on the version"
        assert world.order().status is OrderStatus.CONFIRMED
        assert settled(world) is OrderStatus.COMPLETED
    else:
        world.deliver(PaymentAuthorized, meanwhile=world.cancel)
        assert world.order().status is OrderStatus.CANCELLING
        assert "OrderConfirmed" not in world.events()
        assert settled(world) is OrderStatus.CANCELLED
        assert (world.mugs, world.balance) == ((OPENING, 0, 0), (WELCOME_CENTS, 0))


def to_the_pivot(world: World) -> None:
    world.place()
    for message in (ReserveStock, StockReserved, AuthorizePayment, PaymentAuthorized):
        world.deliver(message)


def test_a_refund_waits_for_the_captured_payment(world: World) -> None:
    to_the_pivot(world)
    assert world.cancel()
    while any(not isinstance(m, CapturePayment) for _, m in world.flying):
        world.deliver(next(i for i, (_, m) in enumerate(world.flying) if not isinstance(m, CapturePayment)))
    assert "RefundPayment" not in world.commands(), "the capture is not done yet"
    assert world.order().status is OrderStatus.REFUNDING
    world.deliver(CapturePayment)
    world.deliver(PaymentCaptured)
    assert world.commands()[-1] == "RefundPayment"
    assert settled(world) is OrderStatus.REFUNDED
    assert (world.mugs, world.balance) == ((OPENING, 0, 0), (WELCOME_CENTS, 0))


def flights(world: World, *kinds: type[Message]) -> list[Flight]:
    return [flight for flight in world.flying if isinstance(flight[1], kinds)]


def test_a_batch_whose_first_decision_falls_to_a_cancellation_decides_the_second_again_too(world: World) -> None:
    to_the_pivot(world)
    for message in (CapturePayment, RequestShipment):
        world.deliver(message)
    together = flights(world, PaymentCaptured, ShipmentRequested)[:2]
    work(world, together, meanwhile=world.cancel)
    check_history(world, "o1")
    assert settled(world) is OrderStatus.REFUNDED


def test_a_batch_whose_first_payment_falls_to_another_one_counts_all_three(world: World) -> None:
    for order_id in ("o1", "o2"):
        world.place(order_id)
        world.deliver(ReserveStock, order_id)
        world.deliver(StockReserved, order_id)
    together = flights(world, AuthorizePayment)
    third = AuthorizePayment(order_id="o3", customer_id=CUSTOMER, amount_cents=50)
    world.flying.append(("payments", third))
    work(world, together, meanwhile=lambda: world.deliver(AuthorizePayment, "o3"))
    check_sums(world)
    assert world.balance == (WELCOME_CENTS - 250, 250)


def test_a_refund_after_shipment_returns_the_money_and_not_the_goods(world: World) -> None:
    world.place()
    world.settle()  # the carrier has come
    assert world.cancel()
    assert settled(world) is OrderStatus.REFUNDED
    assert (world.mugs, world.balance) == ((OPENING - 1, 0, 1), (WELCOME_CENTS, 0))


def test_a_refund_before_shipment_returns_the_goods_too(world: World) -> None:
    world.place()
    world.run()
    assert world.order().status is OrderStatus.COMPLETED
    assert world.cancel()
    assert settled(world) is OrderStatus.REFUNDED
    assert (world.mugs, world.balance) == ((OPENING, 0, 0), (WELCOME_CENTS, 0))
    assert "OrderShipped" not in world.events()


def test_a_cancelled_shipment_that_overtakes_its_request_still_ends(world: World) -> None:
    to_the_pivot(world)
    world.cancel()
    world.deliver(CancelShipment)
    world.deliver(RequestShipment)
    assert settled(world) is OrderStatus.REFUNDED
    assert world.mugs == (OPENING, 0, 0)


def test_a_saga_ends_only_when_each_undo_was_answered(world: World) -> None:
    world.place()
    for message in (ReserveStock, StockReserved, AuthorizePayment):
        world.deliver(message)
    world.cancel()
    for undo, answer in ((ReleasePayment, PaymentReleased), (ReleaseStock, StockReleased)):
        world.deliver(undo)
        assert world.order().status is OrderStatus.CANCELLING
        world.deliver(answer)
    assert world.order().status is OrderStatus.CANCELLED


@pytest.mark.parametrize("lost", [ReleaseStock, StockReleased])
def test_an_undo_without_an_answer_is_sent_again(world: World, lost: type[Message]) -> None:
    world.place()
    world.cancel()
    if lost is StockReleased:
        world.deliver(ReleaseStock)
    world.lose(lost)
    assert settled(world) is OrderStatus.CANCELLED
    assert world.commands().count("ReleaseStock") == 2


@pytest.mark.parametrize("lost", [RequestShipment, ShipmentRequested])
def test_past_the_pivot_an_unanswered_command_is_sent_again_with_the_same_id(world: World, lost: type[Message]) -> None:
    to_the_pivot(world)
    if lost is ShipmentRequested:
        world.deliver(RequestShipment)
    world.lose(lost)
    for _ in range(3):
        world.overdue("shipment")
    ids = [command.id for command in world.sent if isinstance(command.message, RequestShipment)]
    assert (len(ids), set(ids)) == (4, {"o1.shipment.RequestShipment"})
    assert settled(world) is OrderStatus.COMPLETED
    assert world.mugs == (OPENING - 1, 0, 1), "the goods leave once"


def test_a_second_cancellation_changes_nothing(world: World) -> None:
    world.place()
    assert world.cancel()
    assert not world.cancel()
    world.settle()
    assert not world.cancel()


def sold_out(world: World) -> None:
    world.place(quantity=OPENING + 1)


def cancelled_before_the_pivot(world: World) -> None:
    world.place()
    for message in (ReserveStock, StockReserved, AuthorizePayment):
        world.deliver(message)
    assert world.cancel()


def cancelled_after_the_pivot(world: World) -> None:
    to_the_pivot(world)
    assert world.cancel()


def cancelled_after_shipment(world: World) -> None:
    world.place()
    world.settle()
    assert world.cancel()


def times_out(step: str, lost: type[Message], *, cancel: bool = False) -> Callable[[World], None]:
    """This command or answer of the step is lost, and its timer goes off."""

    def story(world: World) -> None:
        world.place()
        if cancel:
            assert world.cancel()
        while not any(isinstance(message, lost) for _, message in world.flying):
            world.deliver(0)
        world.lose(lost)
        world.overdue(step)

    return story


STORIES: dict[str, tuple[Callable[[World], None], OrderStatus]] = {
    "it goes all the way": (World.place, OrderStatus.COMPLETED),
    "stock is rejected": (sold_out, OrderStatus.REJECTED),
    "the payment is declined": (declined, OrderStatus.REJECTED),
    "cancelled before the pivot": (cancelled_before_the_pivot, OrderStatus.CANCELLED),
    "cancelled after the pivot": (cancelled_after_the_pivot, OrderStatus.REFUNDED),
    "cancelled after shipment": (cancelled_after_shipment, OrderStatus.REFUNDED),
    "stock is not asked in time": (times_out("stock", ReserveStock), OrderStatus.REJECTED),
    "stock does not answer in time": (times_out("stock", StockReserved), OrderStatus.REJECTED),
    "the payment is not asked in time": (times_out("payment", AuthorizePayment), OrderStatus.REJECTED),
    "the payment does not answer in time": (times_out("payment", PaymentAuthorized), OrderStatus.REJECTED),
    "the capture does not answer in time": (times_out("capture", PaymentCaptured), OrderStatus.COMPLETED),
    "the shipment does not answer in time": (times_out("shipment", ShipmentRequested), OrderStatus.COMPLETED),
    "an undo does not answer in time": (times_out("stock", StockReleased, cancel=True), OrderStatus.CANCELLED),
}
"""How an order begins, and how it ends; what happens in between, `settled` makes."""


@pytest.mark.parametrize("way", STORIES)
def test_every_message_twice_has_the_effects_of_once(way: str) -> None:
    story, end = STORIES[way]
    once, twice = World(), TwiceOver()
    for world in (once, twice):
        story(world)
        assert settled(world) is end
    assert twice.history == once.history
    assert twice.commands() == once.commands()
    assert twice.rows == once.rows


def test_a_booked_parcel_told_twice_is_shipped_once(world: World) -> None:
    world.place()
    world.run()
    world.fire(-1)
    world.deliver(0)
    world.deliver(ShipmentBooked, keep=True)
    world.deliver(ShipmentBooked)
    assert world.events().count("OrderShipped") == 1
