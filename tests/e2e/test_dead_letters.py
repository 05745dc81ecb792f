"""What RabbitMQ gives up: it fails until the broker has enough of it, is listed, replayed, and succeeds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pika
import pytest

from deploy.deployment import Deployment
from sagashop.cli.shop import Shop
from sagashop.rabbit.events import DELIVERY_LIMIT
from sagashop.tasks.burial import TOLD
from tests.e2e.conftest import Run, read
from tests.e2e.test_long_work import completed, submit
from tests.people import new_product, place, settled
from tests.servers import eventually

WORK_LIMIT = 20
Letter = dict[str, Any]

pytestmark = pytest.mark.feature("F14")


@contextmanager
def bad_worker(stack: Deployment, queue: str) -> Iterator[Callable[[], int]]:
    """It gets each message before the worker of the shop, and gives each back; the result says how many that were."""
    stopping, given_back = threading.Event(), list[int]()

    def give_back(channel: Any, method: Any, *_: Any) -> None:
        given_back.append(method.delivery_tag)
        channel.basic_reject(method.delivery_tag, requeue=True)

    def fail() -> None:
        with closing(pika.BlockingConnection(pika.URLParameters(stack.addresses["RABBITMQ_URL"]))) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=500)
            channel.basic_consume(queue, give_back, arguments={"x-priority": 10})
            ready.set()
            while not stopping.is_set():
                connection.process_data_events(0.1)

    ready, thread = threading.Event(), threading.Thread(target=fail)
    thread.start()
    try:
        assert ready.wait(10)
        yield lambda: len(given_back)
    finally:
        stopping.set()
        thread.join()


@pytest.mark.feature("F43")
def test_a_task_that_fails_until_rabbitmq_gives_it_up_succeeds_after_its_replay(
    stack: Deployment, customer: Shop, operator: Shop, run: Run
) -> None:
    order_id, _ = completed(customer, operator)
    with bad_worker(stack, "orders.tasks") as returned:
        task = submit(customer, f"/api/orders/{order_id}/invoice")
        eventually(lambda: customer.get(task)["status"] == "failed", deadline_s=30, every_s=0.1)
    assert returned() > WORK_LIMIT
    assert customer.get(task)["reason"] == TOLD
    (letter,) = read(run("--json", "dlq", "list", "--service", "orders"))
    assert (letter["source"], letter["fields"]["type"]) == ("orders.tasks", "MakeInvoice")
    assert "delivery_limit" in letter["reason"]
    assert [each["id"] for each in operator.get("/admin/orders/dead-letters")["items"]] == [letter["id"]]
    run("dlq", "replay", letter["id"], "--service", "orders")
    eventually(lambda: customer.get(task)["status"] == "succeeded", deadline_s=30, every_s=0.1)
    result = customer.get(task)["result"]
    assert customer.send("GET", result).content.startswith(b"%PDF-")
    assert read(run("--json", "dlq", "list", "--service", "orders")) == []


@pytest.mark.feature("F42")
def test_events_that_fail_until_rabbitmq_gives_them_up_are_handled_after_their_replay(
    stack: Deployment, customer: Shop, operator: Shop, run: Run
) -> None:
    if stack.env["BUS"] != "rabbitmq":
        pytest.skip("no message of the Redis bus is on RabbitMQ; test_faults.py shows its dead letters")
    sku = new_product(operator)
    with bad_worker(stack, "notifications.inbox") as returned:
        order_id = place(customer, sku)["order_id"]
        assert settled(customer, order_id) == "completed", "nobody waits for notifications"
        letters = eventually(lambda: given_up(operator, order_id, 4), deadline_s=30, every_s=0.2)
    assert returned() > DELIVERY_LIMIT * len(letters)
    assert {letter["source"] for letter in letters} == {"notifications.inbox"}
    assert customer.get("/api/notifications/mine")["items"] == []
    listed = {letter["id"] for letter in read(run("--json", "dlq", "list", "--service", "notifications"))}
    assert {letter["id"] for letter in letters} <= listed
    run("dlq", "replay", "--service", "notifications")
    told = eventually(lambda: notices(customer, 4), deadline_s=20)
    assert {each["order_id"] for each in told} == {order_id}
    assert read(run("--json", "dlq", "list", "--service", "notifications")) == []


def given_up(operator: Shop, order_id: str, count: int) -> list[Letter]:
    """The dead letters of notifications about an order, once there are so many."""
    found = operator.get("/admin/notifications/dead-letters", limit=200)["items"]
    about = [letter for letter in found if order_id in letter["fields"]["data"]]
    return about if len(about) >= count else []


def notices(customer: Shop, count: int) -> list[Letter]:
    found: list[Letter] = customer.get("/api/notifications/mine")["items"]
    return found if len(found) >= count else []
