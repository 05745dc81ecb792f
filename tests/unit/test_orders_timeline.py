"""The timeline, from rows as the journal keeps them."""

from __future__ import annotations

from contracts.fulfillment import ShipmentRequested, StockReleased, StockReserved
from contracts.orders import Line
from contracts.payments import PaymentAuthorized, PaymentCaptured, PaymentDeclined
from sagashop.journal import JournalRow
from sagashop.messages import Message, encode
from sagashop.saga import Status
from services.orders.domain import Order, OrderStatus, cancel, evolve, moved, place
from services.orders.history import fold
from services.orders.saga import checkout
from services.orders.timeline import StepSummary, Timeline, timeline_of

START_MS = 1_700_000_000_000
STEP_MS = 10


class Story:
    """An order told by messages, one every ten milliseconds; `rows` is what the journal has of it."""

    def __init__(self) -> None:
        self.rows: list[JournalRow] = []
        self.order: Order | None = None
        self.add(place(checkout, "o1", "c1", [Line(sku="MUG", quantity=2, price_cents=900)]))

    def add(self, event: Message) -> None:
        self.order = evolve(checkout, self.order, event)
        sequence = self.order.version
        self.rows.append(
            JournalRow(
                entry_id=f"{sequence}-0", aggregate="order:o1", sequence=sequence, type=type(event).__name__,
                data=encode(event), time_ms=START_MS + (sequence - 1) * STEP_MS, producer="orders",
            )
        )  # fmt: skip

    def hear(self, *replies: Message) -> Story:
        for reply in replies:
            assert self.order is not None
            event = moved(self.order, checkout.answered(self.order.phase, self.order.steps, reply))
            assert event is not None
            self.add(event)
        return self

    def timeline(self) -> Timeline:
        assert self.order is not None
        return timeline_of(checkout, self.order, self.rows)

    def step(self, name: str) -> StepSummary:
        return next(step for step in self.timeline().steps if step.step == name)


STOCK = StockReserved(order_id="o1", items=[])
HELD = PaymentAuthorized(order_id="o1", customer_id="c1", amount_cents=1_800)
DECLINED = PaymentDeclined(order_id="o1", customer_id="c1", reason="insufficient funds")
PAID = PaymentCaptured(order_id="o1", customer_id="c1", amount_cents=1_800)
SHIPPING = ShipmentRequested(order_id="o1", shipment_id="s1")


def test_a_completed_order_tells_each_step_with_its_service_and_times() -> None:
    told = Story().hear(STOCK, HELD, PAID, SHIPPING).timeline()

    assert [(entry.sequence, entry.event, entry.after_ms) for entry in told.entries] == [
        (1, "OrderPlaced", 0),
        (2, "SagaMoved", 10),
        (3, "OrderConfirmed", 20),
        (4, "SagaMoved", 30),
        (5, "OrderCompleted", 40),
    ]
    assert [(s.step, s.service, s.status, s.attempts, s.duration_ms, s.after_pivot) for s in told.steps] == [
        ("stock", "fulfillment", Status.DONE, 1, 10, False),
        ("payment", "payments", Status.DONE, 1, 10, False),
        ("capture", "payments", Status.DONE, 1, 10, True),
        ("shipment", "fulfillment", Status.DONE, 1, 20, True),
    ]
    assert (told.status, told.placed_ms, told.pivot_ms) == (OrderStatus.COMPLETED, START_MS, START_MS + 20)
    assert told.complete


def test_a_declined_payment_shows_the_reason_and_the_compensation() -> None:
    story = Story().hear(STOCK, DECLINED, StockReleased(order_id="o1", items=[]))

    stock, payment = story.step("stock"), story.step("payment")
    assert (payment.status, payment.note) == (Status.REFUSED, "insufficient funds")
    assert (stock.status, stock.undo_attempts) == (Status.UNDONE, 1)
    assert (stock.undo_asked_ms, stock.undone_ms) == (START_MS + 20, START_MS + 30)
    assert story.timeline().entries[-1].reason == "insufficient funds"
    assert story.timeline().pivot_ms is None
    assert story.step("capture").status is Status.IDLE
    assert story.step("capture").asked_ms is None


def test_a_step_that_is_asked_again_counts_its_attempts() -> None:
    story = Story().hear(STOCK, HELD)
    for attempt in (1, 2):
        assert story.order is not None
        moves = checkout.overdue(story.order.phase, story.order.steps, "capture", Status.OWED, attempt)
        event = moved(story.order, moves)
        assert event is not None
        story.add(event)

    capture = story.step("capture")
    assert (capture.attempts, capture.status, capture.asked_ms) == (3, Status.OWED, START_MS + 20)
    assert capture.note == "no answer in time"


def test_a_cancellation_keeps_its_reason() -> None:
    story = Story().hear(STOCK)
    assert story.order is not None
    event = cancel(checkout, story.order, "changed my mind")
    assert event is not None
    story.add(event)
    assert (story.timeline().status, story.timeline().entries[-1].reason) == (
        OrderStatus.CANCELLING,
        "changed my mind",
    )


def test_a_journal_that_is_behind_is_said_so() -> None:
    story = Story().hear(STOCK, HELD)
    assert story.order is not None
    told = timeline_of(checkout, story.order, story.rows[:2])
    assert (told.complete, told.status, len(told.entries)) == (False, OrderStatus.CONFIRMED, 2)


def test_a_journal_that_knows_nothing_yet_is_no_error() -> None:
    story = Story()
    assert story.order is not None
    told = timeline_of(checkout, story.order, [])
    assert (told.complete, told.placed_ms, told.entries) == (False, None, [])


def test_the_rows_fold_into_the_order() -> None:
    story = Story().hear(STOCK, HELD, PAID, SHIPPING)
    assert fold(checkout, story.rows) == story.order
    assert fold(checkout, []) is None
