"""Fulfillment's decisions, without a broker: the table, each message twice, and any order of arrival."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.fulfillment import (
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentRequested,
    StockAdjusted,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.orders import CancelShipment, Item, ReleaseStock, RequestShipment, ReserveStock
from contracts.storefront import ProductPriced
from sagashop.batch import chained
from sagashop.effects import Add, Below, ClearTimer, Command, Effects, Expect, Recorded, Rows, SetTimer, apply_to
from sagashop.messages import Message
from services.fulfillment import store
from services.fulfillment.decisions import restock
from services.fulfillment.domain import Shelf
from services.fulfillment.handlers import MESSAGES, TABLE, make_handlers
from services.fulfillment.messages import WORK, BookParcel, CancelBooking, ParcelOverdue, ParcelTaken
from services.fulfillment.settings import FulfillmentSettings

OPENING = 5
ORDER = "o1"


def holds(guard: Expect | Below | Add, rows: Rows) -> bool:
    """What the commit checks in Redis."""
    held = rows.get(guard.key, {}).get(guard.field)
    match guard:
        case Expect(_, _, value):
            return held == (None if value is None else str(value))
        case Below(_, _, limit):
            return int(held or 0) < limit
        case Add(_, _, by, floor):
            return floor is None or int(held or 0) + by >= floor


class Warehouse:
    """Fulfillment's rows in memory, with commits that are guarded as Redis guards them."""

    def __init__(self, opening: int = OPENING) -> None:
        self.rows: Rows = {}
        self.handlers = make_handlers(FulfillmentSettings(opening_stock=opening))
        self.recorded: list[Recorded] = []

    def decide(self, message: Message, rows: Rows) -> Effects:
        for key in self.handlers.keys(message):
            rows.setdefault(key, {})
        return self.handlers.decide(message, rows)

    def commit(self, effects: Effects) -> bool:
        adds = [write for write in effects.write if isinstance(write, Add)]
        if not all(holds(guard, self.rows) for guard in [*effects.expect, *adds]):
            return False
        apply_to(effects, self.rows)
        self.recorded += [emission for emission in effects.emit if isinstance(emission, Recorded)]
        return True

    def handle(self, *messages: Message) -> Effects:
        """Each message in a batch of its own; the effects of the last."""
        for message in messages:
            effects = self.decide(message, self.rows)
            assert self.commit(effects), "alone, a decision on fresh rows is never in conflict"
        return effects

    def handle_batch(self, messages: Sequence[Message], meanwhile: Callable[[], object] = lambda: None) -> None:
        """Decide all on one reading; `meanwhile` another worker commits; then commit each, deciding conflicts again."""
        seen, decided = copy.deepcopy(self.rows), []
        for message in messages:
            decided.append(self.decide(message, seen))
            apply_to(decided[-1], seen)
        meanwhile()
        for message, effects in zip(messages, chained(decided), strict=True):
            if not self.commit(effects):
                self.handle(message)

    def shelf(self, sku: str) -> Shelf:
        return store.shelf_from(sku, self.rows.get(store.shelf_key(sku), {}))

    def numbers(self, sku: str) -> tuple[int, int, int]:
        shelf = self.shelf(sku)
        return shelf.available, shelf.reserved, shelf.sold


def priced(sku: str, revision: int = 1) -> ProductPriced:
    return ProductPriced(sku=sku, revision=revision, name=sku.title(), category="things", price_cents=100)


def reserve(**quantities: int) -> ReserveStock:
    return ReserveStock(order_id=ORDER, items=[Item(sku=sku, quantity=n) for sku, n in quantities.items()])


RELEASE = ReleaseStock(order_id=ORDER)
SHIP = RequestShipment(order_id=ORDER, customer_id="c1")
RECALL = CancelShipment(order_id=ORDER)
TAKEN = ParcelTaken(order_id=ORDER, tracking="TRK1")
OVERDUE = ParcelOverdue(order_id=ORDER)
BOOK = BookParcel(order_id=ORDER, shipment_id="shp-o1")
UNBOOK = CancelBooking(order_id=ORDER, shipment_id="shp-o1")
MUGS = [Item(sku="MUG", quantity=2)]


@pytest.fixture
def warehouse() -> Warehouse:
    """Five mugs and five tees."""
    warehouse = Warehouse()
    warehouse.handle(priced("MUG"), priced("TEE"))
    return warehouse


def test_the_table_has_no_blank_cell() -> None:
    assert {status: len(cells) for status, cells in TABLE.items()} == dict.fromkeys(
        ("unknown", "reserved", "rejected", "released", "shipping", "shipped", "recalled"), len(MESSAGES)
    )


REACH: dict[str, list[Message]] = {
    "unknown": [],
    "reserved": [reserve(MUG=2)],
    "rejected": [reserve(MUG=99)],
    "released": [reserve(MUG=2), RELEASE],
    "shipping": [reserve(MUG=2), SHIP],
    "shipped": [reserve(MUG=2), SHIP, TAKEN],
    "recalled": [reserve(MUG=2), SHIP, RECALL],
}
RESERVED = StockReserved(order_id=ORDER, items=MUGS)
SHORT = StockRejected(order_id=ORDER, missing=["MUG"], reason="not enough on the shelf")
TOO_LATE = StockRejected(order_id=ORDER, missing=[], reason="cancelled")
RELEASED = StockReleased(order_id=ORDER, items=MUGS)
NONE_HELD = StockReleased(order_id=ORDER, items=[])
REQUESTED = ShipmentRequested(order_id=ORDER, shipment_id="shp-o1")
RETURNED = ShipmentCancelled(order_id=ORDER, returned=True)
LEFT = ShipmentCancelled(order_id=ORDER, returned=False)
BOOKED = ShipmentBooked(order_id=ORDER, customer_id="c1", shipment_id="shp-o1", tracking="TRK1", items=MUGS)
SAME = (3, 2, 0)  # still put aside
BACK = (5, 0, 0)
SOLD = (3, 0, 2)
Cell = tuple[str, Message, Message | None, str, tuple[int, int, int]]
ANSWERS: list[Cell] = [
    ("unknown", reserve(MUG=2), RESERVED, "reserved", SAME),
    ("unknown", RELEASE, NONE_HELD, "released", BACK),
    ("unknown", SHIP, RETURNED, "unknown", BACK),
    ("unknown", RECALL, RETURNED, "recalled", BACK),
    ("unknown", TAKEN, None, "unknown", BACK),
    ("unknown", OVERDUE, None, "unknown", BACK),
    ("reserved", reserve(MUG=2), RESERVED, "reserved", SAME),
    ("reserved", RELEASE, RELEASED, "released", BACK),
    ("reserved", SHIP, REQUESTED, "shipping", SAME),
    ("reserved", RECALL, RETURNED, "recalled", BACK),
    ("reserved", TAKEN, None, "reserved", SAME),
    ("reserved", OVERDUE, None, "reserved", SAME),
    ("rejected", reserve(MUG=2), SHORT, "rejected", BACK),
    ("rejected", RELEASE, NONE_HELD, "rejected", BACK),
    ("rejected", SHIP, RETURNED, "rejected", BACK),
    ("rejected", RECALL, RETURNED, "rejected", BACK),
    ("rejected", TAKEN, None, "rejected", BACK),
    ("rejected", OVERDUE, None, "rejected", BACK),
    ("released", reserve(MUG=2), TOO_LATE, "released", BACK),
    ("released", RELEASE, RELEASED, "released", BACK),
    ("released", SHIP, RETURNED, "released", BACK),
    ("released", RECALL, RETURNED, "released", BACK),
    ("released", TAKEN, None, "released", BACK),
    ("released", OVERDUE, None, "released", BACK),
    ("shipping", reserve(MUG=2), RESERVED, "shipping", SAME),
    ("shipping", RELEASE, RELEASED, "released", BACK),
    ("shipping", SHIP, REQUESTED, "shipping", SAME),
    ("shipping", RECALL, RETURNED, "recalled", BACK),
    ("shipping", TAKEN, BOOKED, "shipped", SOLD),
    ("shipping", OVERDUE, None, "shipping", SAME),
    ("shipped", reserve(MUG=2), RESERVED, "shipped", SOLD),
    ("shipped", RELEASE, NONE_HELD, "shipped", SOLD),
    ("shipped", SHIP, REQUESTED, "shipped", SOLD),
    ("shipped", RECALL, LEFT, "shipped", SOLD),
    ("shipped", TAKEN, None, "shipped", SOLD),
    ("shipped", OVERDUE, None, "shipped", SOLD),
    ("recalled", reserve(MUG=2), TOO_LATE, "recalled", BACK),
    ("recalled", RELEASE, NONE_HELD, "recalled", BACK),
    ("recalled", SHIP, RETURNED, "recalled", BACK),
    ("recalled", RECALL, RETURNED, "recalled", BACK),
    ("recalled", TAKEN, None, "recalled", BACK),
    ("recalled", OVERDUE, None, "recalled", BACK),
]


@pytest.mark.feature("F10")
@pytest.mark.parametrize("case", ANSWERS, ids=[f"{a[0]}-{type(a[1]).__name__}" for a in ANSWERS])
def test_every_message_in_every_status_has_its_answer_twice(warehouse: Warehouse, case: Cell) -> None:
    status, message, answer, then, mugs = case
    for earlier in REACH[status]:
        warehouse.handle(earlier)
    first = warehouse.handle(message)
    row = warehouse.rows[store.reservation_key(ORDER)]
    assert answers(first) == ([answer] if answer else [])
    assert row.get("status", "unknown") == then
    assert warehouse.numbers("MUG") == mugs

    before = dict(row)
    again = warehouse.handle(message)
    repeated = [] if message == TAKEN else answers(first)
    assert answers(again) == repeated, "the same message again gets the same answer"
    assert not [emission for emission in again.emit if isinstance(emission, Recorded)], "the journal has it already"
    assert (dict(row), warehouse.numbers("MUG")) == (before, mugs)


def test_all_cells_of_the_table_are_among_these_cases() -> None:
    assert len({(status, type(message)) for status, message, *_ in ANSWERS}) == len(TABLE) * len(MESSAGES)


def test_a_short_line_reserves_nothing(warehouse: Warehouse) -> None:
    effects = warehouse.handle(reserve(MUG=2, TEE=6))
    assert effects.emitted == [StockRejected(order_id=ORDER, missing=["TEE"], reason="not enough on the shelf")]
    assert (warehouse.numbers("MUG"), warehouse.numbers("TEE")) == ((5, 0, 0), (5, 0, 0))


def test_an_unknown_product_is_rejected_by_its_name(warehouse: Warehouse) -> None:
    effects = warehouse.handle(reserve(MUG=2, HAT=1))
    assert effects.emitted == [StockRejected(order_id=ORDER, missing=["HAT"], reason="not a product of ours")]


@pytest.mark.parametrize("quantity", [0, -3])
def test_a_senseless_quantity_is_rejected_and_never_adds_stock(warehouse: Warehouse, quantity: int) -> None:
    effects = warehouse.handle(reserve(MUG=quantity))
    assert isinstance(effects.emitted[0], StockRejected)
    assert warehouse.numbers("MUG") == (5, 0, 0)


def test_an_order_without_items_is_rejected(warehouse: Warehouse) -> None:
    assert isinstance(warehouse.handle(ReserveStock(order_id=ORDER, items=[])).emitted[0], StockRejected)


def test_a_product_named_twice_counts_together(warehouse: Warehouse) -> None:
    twice = ReserveStock(order_id=ORDER, items=[*MUGS, *MUGS])
    assert warehouse.handle(twice).emitted == [StockReserved(order_id=ORDER, items=[Item(sku="MUG", quantity=4)])]
    assert warehouse.numbers("MUG") == (1, 4, 0)

    too_many = ReserveStock(order_id="o2", items=[Item(sku="TEE", quantity=3), Item(sku="TEE", quantity=3)])
    assert isinstance(warehouse.handle(too_many).emitted[0], StockRejected)


def test_the_carrier_is_booked_with_the_parcel_once_and_cancelled_with_the_recall(warehouse: Warehouse) -> None:
    assert asked_of_carrier(warehouse.handle(reserve(MUG=2), SHIP)) == [Command(BOOK, id="shp-o1.book")]
    assert asked_of_carrier(warehouse.handle(SHIP)) == [], "a repeated request books nothing"
    assert asked_of_carrier(warehouse.handle(RECALL)) == [Command(UNBOOK, id="shp-o1.cancel")]
    assert asked_of_carrier(warehouse.handle(RECALL)) == []


def test_a_parcel_of_which_nothing_is_heard_is_booked_again_with_the_same_id_until_the_carrier_has_it(
    warehouse: Warehouse,
) -> None:
    clock = SetTimer(OVERDUE, FulfillmentSettings().parcel_timeout_s)
    assert warehouse.handle(reserve(MUG=2), SHIP).timers == [clock]
    for _ in range(2):
        again = warehouse.handle(OVERDUE)
        assert (asked_of_carrier(again), again.timers) == ([Command(BOOK, id="shp-o1.book")], [clock])
    assert warehouse.handle(TAKEN).timers == [ClearTimer(OVERDUE)]
    assert warehouse.handle(OVERDUE) == Effects(expect=warehouse.handle(OVERDUE).expect)


def test_a_recalled_parcel_is_not_waited_for(warehouse: Warehouse) -> None:
    assert warehouse.handle(reserve(MUG=2), SHIP, RECALL).timers == [ClearTimer(OVERDUE)]


def test_a_recall_before_the_parcel_or_after_it_left_asks_nothing_of_the_carrier(warehouse: Warehouse) -> None:
    assert asked_of_carrier(warehouse.handle(reserve(MUG=2), RECALL)) == []
    warehouse.handle(ReserveStock(order_id="o2", items=MUGS), RequestShipment(order_id="o2", customer_id="c1"))
    warehouse.handle(ParcelTaken(order_id="o2", tracking="TRK2"))
    assert asked_of_carrier(warehouse.handle(CancelShipment(order_id="o2"))) == []


def test_a_second_booking_of_a_parcel_changes_nothing(warehouse: Warehouse) -> None:
    warehouse.handle(reserve(MUG=2), SHIP, TAKEN)
    assert warehouse.handle(ParcelTaken(order_id=ORDER, tracking="TRK2")).emit == []
    assert warehouse.rows[store.reservation_key(ORDER)]["tracking"] == "TRK1"


def test_the_parcels_that_wait_for_the_carrier_are_counted(warehouse: Warehouse) -> None:
    warehouse.handle(reserve(MUG=2), SHIP, SHIP)
    assert warehouse.rows[store.PARCELS]["waiting"] == "1"
    warehouse.handle(TAKEN, TAKEN)
    assert warehouse.rows[store.PARCELS]["waiting"] == "0"


@pytest.mark.parametrize("work", [BOOK, UNBOOK])
def test_a_replayed_dead_letter_goes_to_the_queue_again_under_a_new_id(warehouse: Warehouse, work: Message) -> None:
    (first,), (second,) = warehouse.handle(work).emit, warehouse.handle(work).emit
    assert isinstance(first, Command)
    assert isinstance(second, Command)
    assert first.message == second.message == work
    assert first.id != second.id
    assert type(work).channel not in warehouse.handlers.channels, "the outbox is the relay's to read"


def answers(effects: Effects) -> list[Message]:
    return [each for each in effects.emitted if type(each) not in WORK]


def asked_of_carrier(effects: Effects) -> list[Command]:
    return [each for each in effects.emit if isinstance(each, Command) and type(each.message) in WORK]


def test_a_new_product_gets_its_opening_stock_once(warehouse: Warehouse) -> None:
    assert warehouse.handle(priced("HAT")).emit == [
        Recorded(StockAdjusted(sku="HAT", by=OPENING, reason="opening"), "shelf:HAT", 1)
    ]
    assert warehouse.handle(priced("HAT"), priced("HAT", revision=2)) == Effects()
    assert warehouse.numbers("HAT") == (5, 0, 0)
    assert set(warehouse.rows[store.CATALOGUE]) == {"MUG", "TEE", "HAT"}


def test_a_refusal_is_decided_again_when_goods_arrive_meanwhile(warehouse: Warehouse) -> None:
    warehouse.handle_batch([reserve(MUG=6)], meanwhile=lambda: warehouse.commit(deliver(warehouse, "MUG", 1)))
    assert warehouse.numbers("MUG") == (0, 6, 0)


def test_two_workers_never_sell_the_last_pieces_twice(warehouse: Warehouse) -> None:
    other = ReserveStock(order_id="o2", items=[Item(sku="MUG", quantity=4)])
    warehouse.handle_batch([reserve(MUG=4)], meanwhile=lambda: warehouse.handle(other))
    assert warehouse.numbers("MUG") == (1, 4, 0)
    assert warehouse.rows[store.reservation_key(ORDER)]["status"] == "rejected"


def test_decisions_of_one_batch_see_each_other(warehouse: Warehouse) -> None:
    warehouse.handle_batch([reserve(MUG=4), ReserveStock(order_id="o2", items=MUGS), RELEASE, SHIP])
    assert warehouse.numbers("MUG") == (5, 0, 0)
    assert warehouse.rows[store.reservation_key("o2")]["status"] == "rejected"


def deliver(warehouse: Warehouse, sku: str, pieces: int) -> Effects:
    return restock(warehouse.shelf(sku), pieces, restock_id=f"r{len(warehouse.recorded)}")


class AnyOrderOfArrival(RuleBasedStateMachine):
    """Messages of a few orders, early, late, repeated, in batches that race with another worker."""

    @initialize()
    def open(self) -> None:
        self.warehouse = Warehouse()
        self.warehouse.handle(priced("MUG"))

    orders = st.sampled_from(["o1", "o2", "o3"])
    items = st.lists(
        st.builds(Item, sku=st.sampled_from(["MUG", "TEE"]), quantity=st.integers(min_value=-1, max_value=4)),
        max_size=3,
    )
    messages = st.one_of(
        st.builds(ReserveStock, order_id=orders, items=items),
        st.builds(ReleaseStock, order_id=orders),
        st.builds(RequestShipment, order_id=orders, customer_id=st.just("c1")),
        st.builds(CancelShipment, order_id=orders),
        st.builds(ParcelTaken, order_id=orders, tracking=st.sampled_from(["TRK1", "TRK2"])),
        st.sampled_from([priced("MUG"), priced("TEE")]),
    )

    @rule(batch=st.lists(messages, min_size=1, max_size=5), racing=st.lists(messages, max_size=2))
    def arrive(self, batch: list[Message], racing: list[Message]) -> None:
        self.warehouse.handle_batch(batch, meanwhile=lambda: [self.warehouse.handle(m) for m in racing])

    @rule(sku=st.sampled_from(["MUG", "TEE"]), pieces=st.integers(min_value=1, max_value=3))
    def restock(self, sku: str, pieces: int) -> None:
        if self.warehouse.shelf(sku).known:
            assert self.warehouse.commit(deliver(self.warehouse, sku, pieces))

    @invariant()
    def nothing_appears_or_vanishes(self) -> None:
        for sku in ("MUG", "TEE"):
            shelf = self.warehouse.shelf(sku)
            assert min(shelf.available, shelf.reserved, shelf.sold) >= 0
            assert shelf.delivered == shelf.available + shelf.reserved + shelf.sold

    @invariant()
    def what_is_reserved_and_sold_belongs_to_orders(self) -> None:
        held: Counter[tuple[str, str]] = Counter()
        for order_id in ("o1", "o2", "o3"):
            row = self.warehouse.rows.get(store.reservation_key(order_id), {})
            reservation = store.reservation_from(order_id, row)
            where = {"reserved": "reserved", "shipping": "reserved", "shipped": "sold"}.get(reservation.status, "")
            held.update({(item.sku, where): item.quantity for item in reservation.items if where})
        for sku in ("MUG", "TEE"):
            shelf = self.warehouse.shelf(sku)
            assert (shelf.reserved, shelf.sold) == (held[sku, "reserved"], held[sku, "sold"])

    @invariant()
    def the_journal_alone_tells_what_is_on_the_shelves(self) -> None:
        counted: Counter[str] = Counter()
        reserved: dict[str, list[Item]] = {}
        for event in (recorded.message for recorded in self.warehouse.recorded):
            match event:
                case StockAdjusted(sku=sku, by=by):
                    counted[sku] += by
                case StockReserved(order_id=order_id, items=items):
                    reserved[order_id] = items
                    counted.subtract({item.sku: item.quantity for item in items})
                case StockReleased(order_id=order_id) | ShipmentCancelled(order_id=order_id):
                    counted.update({item.sku: item.quantity for item in reserved.get(order_id, [])})
        assert {sku: counted[sku] for sku in ("MUG", "TEE")} == {
            sku: self.warehouse.shelf(sku).available for sku in ("MUG", "TEE")
        }

    @invariant()
    def every_history_is_without_gap_or_double(self) -> None:
        histories: dict[str, list[int]] = {}
        for recorded in self.warehouse.recorded:
            histories.setdefault(recorded.aggregate, []).append(recorded.sequence)
        assert all(found == list(range(1, len(found) + 1)) for found in histories.values())


AnyOrderOfArrival.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


TestAnyOrderOfArrival = pytest.mark.feature("F10")(AnyOrderOfArrival.TestCase)


def test_a_repeated_restock_id_is_recognised_by_its_guard(warehouse: Warehouse) -> None:
    once = restock(warehouse.shelf("MUG"), 10, restock_id="r1")
    assert warehouse.commit(once)
    assert not warehouse.commit(restock(warehouse.shelf("MUG"), 10, restock_id="r1"))
    assert warehouse.shelf("MUG").available == 15
