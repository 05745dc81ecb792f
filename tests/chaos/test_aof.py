"""The disk loses the end of redis-ledger's file, in the middle of a record.

Redis is started without the commit that the cut record belongs to, since a script is one transaction in the file and
the whole of it is cut out (`deploy/local/mend_aof.py`). So a service wakes up in a state that it once had, and handles
again what it had acknowledged since. With `appendfsync always` only a fault of the disk takes away what was answered.
What the journals in SQL had already written down tells what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.ports import free_settings
from deploy.local.stack import Stack
from tests.chaos.load import Load
from tests.chaos.shop import LocalShop, insist, place
from tests.conftest import QUICK
from tests.servers import eventually

made_again = pytest.mark.skipif(
    QUICK["BUS"] == "rabbitmq",
    reason="RabbitMQ has been told that it is done, so a commit that the disk loses is not made again: see the audit",
)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalShop]:
    """A stack of these tests alone: the last one leaves damage behind."""
    with Stack(tmp_path_factory.mktemp("aof"), free_settings() | QUICK) as stack:
        yield LocalShop(stack)


def cut(shop: LocalShop, within: bytes) -> None:
    """Cut redis-ledger's file in the middle of the last record that holds these bytes, and start it again."""
    shop.stack.stop("redis-ledger")
    (file,) = newest(shop.stack.layout.home / "redis-ledger" / "appendonlydir")
    data = file.read_bytes()
    file.write_bytes(data[: data.rindex(within) + len(within) // 2])
    shop.stack.start("redis-ledger")
    assert f"mend_aof: {file.name} ended within a commit" in shop.stack.logs("redis-ledger")
    assert list(file.parent.glob(f"{file.name}.cut-*"))


def newest(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.incr.aof"))[-1:]


def test_a_cut_within_an_acknowledgement_loses_nothing(mortal: LocalShop) -> None:
    load = Load(mortal, orders=60, per_s=30, seed=12)
    load.run()
    mortal.settle()
    cut(mortal, b"XACK")
    mortal.assert_nothing_lost(load.accepted)


@made_again
def test_a_lost_commit_is_made_again_and_the_journal_knows_it_already(mortal: LocalShop) -> None:
    customer = mortal.people.customer()
    customer_id = customer.get("/api/session")["customer_id"]
    mortal.settle()
    mortal.stack.stop("payments-worker")
    order_id = place(customer, mortal.cheap, "held-twice")
    eventually(lambda: steps(mortal, order_id)["payment"] == "asked", deadline_s=20)
    mortal.stack.stop("orders-worker")
    mortal.stack.start("payments-worker")
    eventually(lambda: account(mortal, customer_id)["journal"]["held_cents"] == 10, deadline_s=20)
    cut(mortal, b"PaymentAuthorized")
    mortal.stack.start("orders-worker")
    report = mortal.assert_nothing_lost([order_id])
    assert report.orders[order_id] == "completed"


def test_an_order_that_the_disk_lost_is_named_by_the_audit_and_the_shop_goes_on(mortal: LocalShop) -> None:
    """The journal has the order and redis-ledger has not: it stays as it was, until a person decides what to do."""
    customer = mortal.people.customer()
    mortal.settle()
    mortal.stack.stop("fulfillment-worker")
    lost = place(customer, mortal.cheap, "lost-by-the-disk")
    eventually(lambda: lost in {o["order_id"] for o in customer.get("/api/orders")["items"]}, deadline_s=20)
    cut(mortal, b"type\r\n$11\r\nOrderPlaced\r\n")
    mortal.stack.start("fulfillment-worker")
    kept = place(customer, mortal.cheap, "after-the-cut")
    eventually(lambda: mortal.operator.get(f"/api/orders/{kept}")["tracking"], deadline_s=60, every_s=0.5)
    assert not mortal.auditor.wait_until_quiet(5), "an order is under way that nobody works on"
    report = insist(mortal.auditor.report)
    assert {(check.house, check.name, check.wrong) for check in report.wrong} == {
        ("orders", "every row in redis-ledger is the fold of its journal", 1),
        ("orders", "every order is in a final state", 1),
        ("orders", "the stream has every event since its first entry", 1),
    }, report.wrong
    assert (report.orders[lost], report.orders[kept]) == ("placed", "completed")


@made_again
def test_what_is_written_after_a_cut_is_there_after_the_next_start(tmp_path: Path) -> None:
    with Stack(tmp_path, free_settings() | QUICK) as stack:
        shop = LocalShop(stack)
        shop.settle()
        cut(shop, b"XADD")
        shop.settle()
        order_id = place(shop.people.customer(), shop.cheap, "between-two-starts")
        shop.settle()
        stack.restart("redis-ledger")
        shop.assert_nothing_lost([order_id])


def steps(shop: LocalShop, order_id: str) -> dict[str, str]:
    found = shop.operator.get(f"/api/orders/{order_id}/timeline")["steps"]
    return {step["step"]: step["status"] for step in found}


def account(shop: LocalShop, customer_id: str) -> Any:
    return shop.operator.get(f"/api/accounts/{customer_id}")
