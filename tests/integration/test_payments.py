"""Payments on real servers: commands in on a stream, events out, balances from Redis, the books from SQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.orders import CapturePayment, RefundPayment, ReleasePayment
from sagashop import keys
from sagashop.journal import request_rebuild
from sagashop.messages import Message
from services.payments import postings, store
from services.payments.domain import Command
from tests.integration.payments_house import House, a_house, authorize, registered
from tests.servers import eventually

ZERO = {"bank_cents": 0, "available_cents": 0, "held_cents": 0, "merchant_cents": 0, "sum_cents": 0}


@pytest.fixture
def house(redis_ledger: str, redis_session: str, database_url: str) -> House:
    return a_house(redis_ledger, redis_session, database_url)


@pytest.mark.feature("F06")
@pytest.mark.sql
def test_an_order_is_held_paid_and_refunded_and_the_books_show_it(house: House) -> None:
    capture, refund = (kind(order_id="o1", customer_id="c1") for kind in (CapturePayment, RefundPayment))
    customer, operator = house.browser("c1"), house.browser("op", "operator")
    house.tell(registered("c1"), authorize("o1", 1_500))
    assert customer.get("/api/accounts/me").json == {"available_cents": 48_500, "held_cents": 1_500}

    house.tell(authorize("o1", 1_500), capture, capture)
    books = ZERO | {"bank_cents": -50_000, "available_cents": 48_500, "merchant_cents": 1_500}
    assert operator.get("/admin/payments/ledger").json == {
        "balanced": True, "current": True, "books": books, "running": books,
    }  # fmt: skip

    house.tell(refund, refund)
    items = customer.get("/api/accounts/me/statement").get_json()["items"]
    columns = ("type", "order_id", "available_change_cents", "held_change_cents", "available_cents")
    assert [tuple(item[name] for name in columns) for item in items] == [
        ("PaymentRefunded", "o1", 1_500, 0, 50_000),
        ("PaymentCaptured", "o1", 0, -1_500, 48_500),
        ("PaymentAuthorized", "o1", -1_500, 1_500, 48_500),
        ("MoneyDeposited", "", 50_000, 0, 50_000),
    ]  # fmt: skip
    now = {"available_cents": 50_000, "held_cents": 0, "sequence": 5}
    assert operator.get("/api/accounts/c1").json == {"customer_id": "c1", **now, "journal": now}


def test_each_event_carries_its_place_in_the_accounts_history(house: House) -> None:
    house.tell(authorize("o1", 10), authorize("o1", 10))

    entries = [fields for _, fields in house.redis.xrange(keys.stream("payments.events"))]
    assert [(e["type"], e.get("aggregate"), e.get("sequence")) for e in entries] == [
        ("AccountOpened", "account:c1", "1"),
        ("MoneyDeposited", "account:c1", "2"),
        ("PaymentAuthorized", "account:c1", "3"),
        ("PaymentAuthorized", None, None),
    ]


def test_a_capture_of_nothing_becomes_a_dead_letter_with_its_reason(house: House) -> None:
    house.publish(registered("c1"), CapturePayment(order_id="o1", customer_id="c1"))
    worker, dead = house.worker(), keys.dead_letters("payments")

    def given_up() -> bool:
        worker.step(block_ms=20)
        return bool(house.redis.xlen(dead))

    eventually(given_up)
    ((_, letter),) = house.redis.xrange(dead)
    assert letter["reason"] == "OutOfOrder: order o1: CapturePayment, but the payment is unknown"
    assert house.redis.xpending(keys.stream("payments.commands"), "payments")["pending"] == 0


@pytest.mark.feature("F06")
@pytest.mark.feature("F07")
@pytest.mark.sql
def test_balances_and_books_rebuilt_from_zero_are_the_same(house: House) -> None:
    house.tell(*_busy_week(random.Random(7)))
    customers = [f"c{n}" for n in range(3)]

    def read() -> list[object]:
        with house.engine.connect() as conn:
            statements = [postings.statement(conn, c, before=None, limit=1000) for c in customers]
            return [postings.totals(conn), *statements]

    before = read()
    request_rebuild(house.engine, "postings")
    house.project()

    assert read() == before
    with house.engine.connect() as conn:
        for customer_id in customers:
            row = house.redis.hgetall(store.account_key(customer_id))
            assert postings.rebuilt(conn, customer_id) == store.account_of(customer_id, row)
    view = house.browser("op", "operator").get("/admin/payments/ledger").get_json()
    assert (view["balanced"], view["current"]) == (True, True)
    assert min(view["books"][f"{place}_cents"] for place in ("available", "held", "merchant")) > 0


def _busy_week(chance: random.Random) -> Iterator[Message]:
    """200 orders of three customers, some released, captured, refunded; any command may come twice."""
    ways: list[list[type[Command]]] = [[], [ReleasePayment], [CapturePayment], [CapturePayment, RefundPayment]]
    for n in range(200):
        order_id, customer_id = f"o{n}", f"c{n % 3}"
        first = authorize(order_id, chance.randrange(1_500), customer_id)
        yield from [first] * chance.choice([1, 2])
        # without enough money the hold is declined, and what follows would be out of order
        for kind in chance.choice(ways if n < 60 else ways[:2]):
            yield from [_of(kind, order_id, customer_id)] * chance.choice([1, 2])


def _of(kind: type[Command], order_id: str, customer_id: str) -> Command:
    command: Any = kind
    done: Command = command(order_id=order_id, customer_id=customer_id)
    return done


def test_deposits_and_two_workers_at_the_same_account_lose_nothing(house: House) -> None:
    house.publish(*(authorize(f"o{n}", 100) for n in range(60)))
    customer = house.browser("c1")
    statuses: list[int] = []

    def deposit() -> None:
        for n in range(10):
            body = {"amount_cents": 7, "deposit_id": f"d{n}"}
            statuses.append(customer.post("/api/accounts/me/deposits", json=body).status_code)

    jobs = [*(threading.Thread(target=house.work, args=(f"w{n}",)) for n in range(2)), threading.Thread(target=deposit)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(30)
    house.work("w0")

    assert set(statuses) <= {201, 503}
    deposited = 7 * statuses.count(201)
    assert customer.get("/api/accounts/me").json == {"available_cents": 44_000 + deposited, "held_cents": 6_000}
    house.project()
    assert house.browser("op", "operator").get("/admin/payments/ledger").get_json()["current"]
