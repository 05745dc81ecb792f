"""An honest shop passes the audit, and every fault that is planted in one is found, by the check that is about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from contracts.fulfillment import ShipmentBooked, StockReleased, StockReserved
from contracts.orders import AuthorizePayment, Item, RefundPayment, ReserveStock, SagaMoved
from contracts.payments import PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentReleased
from deploy.walls_rabbit import PARTS
from sagashop import keys
from sagashop.audit import auditor
from sagashop.audit.auditor import Auditor
from sagashop.audit.facts import from_lines
from sagashop.audit.house import DEAD_LETTERS, FAILED_TASKS, House
from sagashop.journal import journal, read_models
from sagashop.messages import Message, encode
from sagashop.saga import Change, Status
from sagashop.tasks.lease import Lease, Leases
from sagashop.tasks.task import opened
from services.fulfillment import store as goods
from services.fulfillment.shipments import parcels
from services.orders import store as desk
from services.orders.messages import MakeInvoice
from services.orders.readmodel import order_list
from services.payments import store as money
from services.payments.postings import table as postings
from tests.rabbit import RabbitServer
from tests.servers import RedisServer
from tests.unit.audit_world import SERVICES, AuditedShop

Shop = AuditedShop
GAP = "the journal has every event, without a gap"
KEPT = "every event in the stream is in the journal"
ORDER_ROWS = "every row in redis-ledger is the fold of its journal"
ACCOUNTS = "every account in redis-ledger is the fold of its journal, and not below zero"
SHELVES = "delivered = available + reserved + sold, on every shelf and in the journal"
GROUPS = "every group has read and acknowledged everything"
STILL = "nothing moved while the auditor looked"
WHOLE = "every house has answered to the end"
MONEY = "the money of each order agrees with its status"
GOODS = "the goods of each order agree with its status"
PAID_ONCE = "no order is held, captured, released or refunded twice"
MOVED_ONCE = "no order's goods are reserved, given back or handed over twice"
FOLLOWS = "every event can be read, and follows from the one before"
TRACE = "what was asked of a house is known there"
OWNED = "every payment and reservation belongs to an order"
TASKS = "every task is over"


@pytest.fixture(scope="module")
def whole(
    ledger_server: RedisServer,
    session_server: RedisServer,
    rabbit_server: RabbitServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    with ledger_server.client() as client:
        client.flushall()
    rabbit_server.purge(queue.name for part in PARTS.values() for queue in part.queues)
    folder = tmp_path_factory.mktemp("audit")
    shop = AuditedShop(ledger_server.url, session_server.url, rabbit_server.url, folder)
    return shop.open().remember()


@pytest.fixture
def shop(whole: Shop) -> Shop:
    """An honest shop, which the test may spoil."""
    return whole.restore()


def test_an_honest_shop_passes_with_an_order_of_every_fate(shop: Shop) -> None:
    report = shop.auditor.report()
    report.assert_all([shop.completed, shop.refunded, shop.rejected, shop.cancelled])
    assert report.orders == {
        shop.completed: "completed",
        shop.refunded: "refunded",
        shop.rejected: "rejected",
        shop.cancelled: "cancelled",
    }
    assert shop.auditor.wait_until_quiet(5)
    idle = {"no timer is overdue", "the outbox is empty", TASKS, FAILED_TASKS, DEAD_LETTERS}
    assert all(check.looked_at for check in report.checks if check.name not in idle), "a check that looks at nothing"


refund, merchant = postings.c.type == "PaymentRefunded", postings.c.place == "merchant"


def row_of(aggregate: str, kind: str) -> Any:
    return (journal.c.aggregate == aggregate) & (journal.c.type == kind)


def lose_last_event(shop: Shop) -> None:
    shop.execute("orders", delete(journal).where(row_of(desk.aggregate(shop.completed), "OrderShipped")))
    shop.execute("orders", delete(journal).where(row_of(desk.aggregate(shop.completed), "OrderCompleted")))


def refund_unasked(shop: Shop) -> None:
    shop.tell(RefundPayment(order_id=shop.completed, customer_id="c1"))
    shop.settle()


def reserve_for_nobody(shop: Shop) -> None:
    shop.tell(ReserveStock(order_id="nobody's", items=[]))
    shop.settle()


def charge_for_nobody(shop: Shop) -> None:
    shop.tell(AuthorizePayment(order_id="nobody's", customer_id="c1", amount_cents=1))
    shop.settle()


def charged(shop: Shop, event: Message) -> None:
    shop.write_history("payments", "account:c1", event)


def moved_goods(shop: Shop, order_id: str, event: Message) -> None:
    shop.write_history("fulfillment", f"reservation:{order_id}", event)


def capture_twice(shop: Shop) -> None:
    charged(shop, PaymentCaptured(order_id=shop.completed, customer_id="c1", amount_cents=1800))


def capture_without_a_hold(shop: Shop) -> None:
    charged(shop, PaymentCaptured(order_id=shop.rejected, customer_id="c1", amount_cents=1800))


def capture_and_release(shop: Shop) -> None:
    charged(shop, PaymentReleased(order_id=shop.completed, customer_id="c1", amount_cents=1800))


def hold_and_decline(shop: Shop) -> None:
    charged(shop, PaymentDeclined(order_id=shop.completed, customer_id="c1", reason="no"))


def capture(shop: Shop, customer_id: str = "c1", amount_cents: int = 1800) -> None:
    """What is told of the completed order's payment."""
    wanted = journal.c.data.contains(shop.completed) & (journal.c.type == "PaymentCaptured")
    told = PaymentCaptured(order_id=shop.completed, customer_id=customer_id, amount_cents=amount_cents)
    shop.execute("payments", update(journal).where(wanted).values(data=encode(told)))


def refund_less(shop: Shop) -> None:
    told = PaymentRefunded(order_id=shop.refunded, customer_id="c1", amount_cents=1799)
    shop.execute("payments", update(journal).where(journal.c.type == "PaymentRefunded").values(data=encode(told)))


def put_less_aside(shop: Shop) -> None:
    told = StockReserved(order_id=shop.completed, items=[Item(sku="MUG", quantity=1)])
    wanted = row_of(f"reservation:{shop.completed}", "StockReserved")
    shop.execute("fulfillment", update(journal).where(wanted).values(data=encode(told)))


def put_aside_twice(shop: Shop) -> None:
    moved_goods(shop, shop.completed, StockReserved(order_id=shop.completed, items=[Item(sku="MUG", quantity=2)]))


def give_back_what_is_sold(shop: Shop) -> None:
    moved_goods(shop, shop.completed, StockReleased(order_id=shop.completed, items=[Item(sku="MUG", quantity=2)]))


def give_back_twice(shop: Shop) -> None:
    moved_goods(shop, shop.cancelled, StockReleased(order_id=shop.cancelled, items=[Item(sku="MUG", quantity=2)]))


def hand_over_what_was_given_back(shop: Shop) -> None:
    event = ShipmentBooked(order_id=shop.cancelled, customer_id="c1", shipment_id="shp", tracking="none", items=[])
    moved_goods(shop, shop.cancelled, event)


def begin_in_the_middle(shop: Shop) -> None:
    first = {"type": "SagaMoved", "data": encode(SagaMoved(order_id=shop.completed))}
    wanted = row_of(desk.aggregate(shop.completed), "OrderPlaced")
    shop.execute("orders", update(journal).where(wanted).values(**first))


def leave_a_task(shop: Shop) -> Leases:
    shop.bus.admit("orders", opened("orders", MakeInvoice(task_id="task", order_id=shop.completed), "c1"))
    return Leases("orders", shop.redis)


def fail_a_task(shop: Shop) -> None:
    taken = leave_a_task(shop).take("task")
    assert isinstance(taken, Lease)
    taken.fail("no paper")


def outdate(service: str) -> Callable[[Shop], bool]:
    return lambda shop: shop.execute(service, update(read_models).values(version=0))


def undo_twice(shop: Shop) -> None:
    event = SagaMoved(order_id=shop.refunded, changes=[Change("shipment", Status.UNDOING)])
    shop.write_history("orders", desk.aggregate(shop.refunded), event)


def undo_what_was_not_asked(shop: Shop) -> None:
    event = SagaMoved(order_id=shop.rejected, changes=[Change("capture", Status.UNDOING)])
    shop.write_history("orders", desk.aggregate(shop.rejected), event)


def refund_twice(shop: Shop) -> None:
    charged(shop, PaymentRefunded(order_id=shop.refunded, customer_id="c1", amount_cents=1800))


def leave_unacknowledged(shop: Shop) -> None:
    shop.tell(RefundPayment(order_id=shop.refunded, customer_id="c1"))
    shop.redis.xreadgroup("payments", "gone", {keys.stream("payments.commands"): ">"})


def set_aside(shop: Shop) -> None:
    shop.redis.xadd(keys.stream("payments.commands"), {"type": "CapturePayment", "data": "{"})
    shop.settle()


FAULTS: list[tuple[str, Callable[[Shop], Any], str]] = [
    ("a cent is lost from an account", lambda s: s.redis.hincrby(money.account_key("c1"), "available_cents", -1),
     ACCOUNTS),
    ("a cent is lost from the totals", lambda s: s.redis.hincrby(money.TOTALS, "merchant", -1),
     "the running totals add up to zero, and are those of the journal"),
    ("an account is gone", lambda s: s.redis.delete(money.account_key("c1")), ACCOUNTS),
    ("a payment is another", lambda s: s.redis.hset(money.payment_key(s.completed), "state", "held"),
     "every payment in redis-ledger is the fold of its journal"),
    ("a capture is doubled", capture_twice, PAID_ONCE),
    ("a refund is doubled", refund_twice, PAID_ONCE),
    ("money is captured that was not held", capture_without_a_hold, PAID_ONCE),
    ("captured money is released, too", capture_and_release, PAID_ONCE),
    ("held money is declined, too", hold_and_decline, PAID_ONCE),
    ("a refund nobody asked for", refund_unasked, "every compensation was asked for by its order"),
    ("the money is back and the order completed", refund_unasked, MONEY),
    ("less is captured than the order costs", lambda s: capture(s, amount_cents=1799), MONEY),
    ("another customer has paid", lambda s: capture(s, customer_id="c2"), MONEY),
    ("less is refunded than the order cost", refund_less, MONEY),
    ("one side of a posting is lost", lambda s: s.execute("payments", delete(postings).where(refund & merchant)),
     "the books add up to zero"),
    ("both sides of postings are lost", lambda s: s.execute("payments", delete(postings).where(refund)),
     "the books are the fold of the journal"),
    ("postings are on another account", lambda s: s.execute("payments", update(postings).where(refund & ~merchant)
     .values(place="held")), "the books are the fold of the journal"),
    ("an event is lost within a history",
     lambda s: s.execute("orders", delete(journal).where(row_of(desk.aggregate(s.completed), "OrderConfirmed"))), GAP),
    ("the first event of an account is lost",
     lambda s: s.execute("payments", delete(journal).where(journal.c.type == "AccountOpened")), GAP),
    ("the last event is lost: the row knows", lose_last_event, ORDER_ROWS),
    ("the last event is lost: the stream knows", lose_last_event, KEPT),
    ("an event is changed",
     lambda s: s.execute("fulfillment", update(journal).where(journal.c.type == "StockAdjusted").values(data="{}")),
     KEPT),
    ("an event cannot be read",
     lambda s: s.execute("payments", update(journal).where(journal.c.type == "PaymentCaptured").values(data="{}")),
     "every event can be read"),
    ("an event about goods cannot be read",
     lambda s: s.execute("fulfillment", update(journal).where(journal.c.type == "StockReserved").values(data="{}")),
     "every event can be read"),
    ("an event of an order cannot be read",
     lambda s: s.execute("orders", update(journal).where(journal.c.type == "OrderConfirmed").values(data="{}")),
     FOLLOWS),
    ("a history begins in the middle", begin_in_the_middle, FOLLOWS),
    ("the stream lost an event that the journal has",
     lambda s: s.redis.xdel(keys.stream("orders.events"), s.redis.xrevrange(keys.stream("orders.events"))[0][0]),
     "the stream has every event since its first entry"),
    ("an order's row is gone", lambda s: s.redis.delete(desk.order_key(s.completed)), ORDER_ROWS),
    ("an order's row is behind", lambda s: s.redis.hset(desk.order_key(s.completed), "version", 3), ORDER_ROWS),
    ("an order's row says otherwise", lambda s: s.redis.hset(desk.order_key(s.completed), "status", "refunded"),
     ORDER_ROWS),
    ("an order is stuck", lambda s: s.buy("MUG") and s.houses["orders"].projector.step(),
     "every order is in a final state"),
    ("an order is listed wrongly", lambda s: s.execute("orders", update(order_list).values(total_cents=1)),
     "the order list is the fold of the journal"),
    ("an order is not listed", lambda s: s.execute("orders", delete(order_list)),
     "the order list is the fold of the journal"),
    ("a step is undone twice", undo_twice, "a step is undone at most once, and only after it was asked"),
    ("a step is undone that was not asked", undo_what_was_not_asked,
     "a step is undone at most once, and only after it was asked"),
    ("a piece is lost", lambda s: s.redis.hincrby(goods.shelf_key("MUG"), "available", -1), SHELVES),
    ("a piece is sold twice", lambda s: s.redis.hincrby(goods.shelf_key("MUG"), "sold", 1), SHELVES),
    ("a shelf is gone", lambda s: s.redis.delete(goods.shelf_key("GOLD")), SHELVES),
    ("a reservation is another", lambda s: s.redis.hset(goods.reservation_key(s.completed), "status", "reserved"),
     "every reservation in redis-ledger is the fold of its journal"),
    ("fewer pieces are put aside than ordered", put_less_aside, GOODS),
    ("the goods are back and the order completed", give_back_what_is_sold, GOODS),
    ("goods are put aside twice", put_aside_twice, MOVED_ONCE),
    ("goods are given back twice", give_back_twice, MOVED_ONCE),
    ("goods are given back and handed over", hand_over_what_was_given_back, MOVED_ONCE),
    ("goods are put aside for no order", reserve_for_nobody, OWNED),
    ("money is taken for no order", charge_for_nobody, OWNED),
    ("a parcel waits that the carrier was not told of", lambda s: s.redis.hincrby(goods.PARCELS, "waiting", 1),
     "the outbox is empty"),
    ("a parcel is not listed", lambda s: s.execute("fulfillment", delete(parcels)),
     "the list of parcels is the fold of the journal"),
    ("the postings are of an old version", outdate("payments"), "the read model postings is of the current version"),
    ("the order list is of an old version", outdate("orders"), "the read model order_list is of the current version"),
    ("the parcels are of an old version", outdate("fulfillment"), "the read model parcels is of the current version"),
    ("a payment left no trace", lambda s: s.execute("payments", delete(journal), delete(postings)), TRACE),
    ("a reservation left no trace", lambda s: s.execute("fulfillment", delete(journal), delete(parcels)), TRACE),
    ("a timer is overdue", lambda s: s.redis.zadd(keys.deadlines("orders"), {"StepOverdue {}": 1}),
     "no timer is overdue"),
    ("a message is not read", lambda s: s.tell(RefundPayment(order_id=s.refunded, customer_id="c1")), GROUPS),
    ("a message is not acknowledged", leave_unacknowledged, GROUPS),
    ("a message is set aside", set_aside, DEAD_LETTERS),
    ("a task is not done", leave_a_task, TASKS),
    ("a task has failed", fail_a_task, FAILED_TASKS),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "check"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_the_audit_finds(shop: Shop, plant: Callable[[Shop], Any], check: str) -> None:
    plant(shop)
    wrong = {found.name: found for found in shop.auditor.report().wrong}
    assert check in wrong, f"not found; what was: {sorted(wrong)}"
    assert wrong[check].examples


UNROUTABLE = "RabbitMQ: nothing is unroutable"
NOT_PLANTED = {
    WHOLE: "test_an_answer_that_breaks_off_is_no_clean_bill",
    STILL: "test_what_moves_whenever_the_auditor_looks_is_reported",
    "nothing waits on RabbitMQ": "test_messages_that_lie_on_rabbitmq_are_counted_in_every_queue_of_the_service",
    UNROUTABLE: "test_a_message_with_a_wrong_key_is_confirmed_and_the_audit_fails_until_it_is_gone",
}
"""Checks of how the auditor looks, and of another server: the test that makes each fail. What further houses add (jobs,
receipts) is made to fail in tests/integration/test_audit_elsewhere.py."""


def test_every_check_has_a_fault_that_makes_it_fail(shop: Shop) -> None:
    made = {check.name for check in shop.auditor.report().checks}
    assert made == {check for _, _, check in FAULTS} | NOT_PLANTED.keys()


def test_allowed_dead_letters_are_listed_and_not_held_against_the_shop(shop: Shop) -> None:
    set_aside(shop)
    set_aside(shop)
    assert not shop.auditor.report(allow_dead_letters=1).ok
    report = shop.auditor.report(allow_dead_letters=2)
    assert report.ok
    assert [(letter.house, letter.kind) for letter in report.letters] == [("payments", "CapturePayment")] * 2


def test_an_accepted_order_that_is_nowhere_is_named(shop: Shop) -> None:
    with pytest.raises(AssertionError, match="order of-long-ago was accepted, and is lost"):
        shop.auditor.report().assert_all([shop.completed, "of-long-ago"])


def test_an_answer_that_breaks_off_is_no_clean_bill(shop: Shop) -> None:
    def cut_off(path: str) -> bytes:
        body = shop.get(path)
        return body[:-3] if path == "/admin/payments/audit" else body

    (wrong,) = Auditor(cut_off, SERVICES).report().wrong
    assert (wrong.name, wrong.examples) == (WHOLE, ["payments broke off: see its log"])


def test_what_moves_whenever_the_auditor_looks_is_reported(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "LOOK_EVERY_S", 0)

    def disturb(path: str) -> bytes:
        body = shop.get(path)
        if path == "/admin/orders/audit":
            shop.buy("MUG")
        return body

    assert STILL in {c.name for c in Auditor(disturb, SERVICES).report().wrong}


def test_after_a_single_movement_the_auditor_looks_again_at_everything(shop: Shop) -> None:
    bought = list[str]()

    def disturb_once(path: str) -> bytes:
        body = shop.get(path)
        if path == "/admin/orders/audit" and not bought:
            bought.append(shop.buy("MUG"))
            shop.settle()
        return body

    report = Auditor(disturb_once, SERVICES).report()
    assert (report.wrong, bought[0] in report.orders) == ([], True)


def test_trimming_is_no_movement(shop: Shop) -> None:
    def tidy(path: str) -> bytes:
        body = shop.get(path)
        if path == "/admin/orders/audit":
            assert shop.redis.xtrim(keys.stream("orders.events"), maxlen=0) > 0
        return body

    assert STILL not in {c.name for c in Auditor(tidy, SERVICES).report().wrong}


def test_work_under_way_is_not_quiet(shop: Shop) -> None:
    shop.buy("MUG")
    assert not shop.auditor.wait_until_quiet(0.1)
    shop.settle()
    assert shop.auditor.wait_until_quiet(5)


def test_rows_in_the_outbox_are_found(shop: Shop) -> None:
    facts = House("storefront", shop.redis, [], outbox=lambda: 3).facts()
    (check,) = [fact for fact in facts if getattr(fact, "name", "") == "the outbox is empty"]
    assert getattr(check, "wrong", 0) == 1


def test_the_audit_is_the_operators(shop: Shop) -> None:
    for path in ("/admin/orders/audit", "/admin/orders/audit/open-work"):
        assert shop.customer.get(path).status_code == 403


def test_an_audit_changes_nothing(shop: Shop) -> None:
    def everything() -> Any:
        with shop.houses["orders"].engine.connect() as conn:
            rows = conn.execute(select(journal)).all()
        return rows, {key: shop.redis.dump(key) for key in shop.redis.scan_iter()}

    before = everything()
    shop.auditor.report()
    assert everything() == before


def test_lines_cut_within_a_line_are_read_up_to_there() -> None:
    facts, complete = from_lines(b'{"type":"letter","house":"x","id":"1","source":"s","kind":"k","reason":"r"}\n{"ty')
    assert (len(facts), complete) == (1, False)
