"""Invoices and reports through the front door: taken at once, made by a worker, and for their owner alone."""

from __future__ import annotations

import csv
import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.deployment import Deployment
from sagashop.cli.shop import Refused, Shop
from sagashop.messages import new_id
from tests.people import People, new_product, place, settled
from tests.servers import eventually

BROKER = pytest.mark.local("in a container the signal reaches the script that waits for it")


def submit(shop: Shop, path: str, body: Any = None, **headers: str) -> str:
    """Where the task is found."""
    answer = shop.send("POST", path, json=body or {}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] in {"queued", "running", "succeeded"}
    return answer.headers["Location"]


def listed(customer: Shop, order_id: str) -> None:
    """Wait until the list of orders, from which reports are made, has it as completed."""

    def ask() -> bool:
        rows = customer.get("/api/orders")["items"]
        return any(row["order_id"] == order_id and row["status"] == "completed" for row in rows)

    eventually(ask, deadline_s=20)


@contextmanager
def standing_still(stack: Deployment, process: str) -> Iterator[None]:
    """It keeps its connections, and does nothing."""
    stack.signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.signal(process, signal.SIGCONT)


def succeeded(shop: Shop, task: str) -> dict[str, Any]:
    eventually(lambda: shop.get(task)["status"] not in {"queued", "running"}, deadline_s=30, every_s=0.1)
    found: dict[str, Any] = shop.get(task)
    assert (found["status"], found["progress"]) == ("succeeded", 100), found
    return found


def completed(customer: Shop, operator: Shop, price_cents: int = 1500) -> tuple[str, str]:
    """A completed order of two pieces, and what was bought."""
    sku = new_product(operator, price_cents=price_cents)
    order_id = place(customer, sku, 2)["order_id"]
    assert settled(customer, order_id) == "completed"
    return order_id, sku


@pytest.mark.feature("F43")
def test_the_invoice_of_a_completed_order_is_a_pdf_for_its_owner(
    customer: Shop, operator: Shop, people: People
) -> None:
    order_id, _ = completed(customer, operator)
    task = submit(customer, f"/api/orders/{order_id}/invoice", **{"Idempotency-Key": "one"})
    assert submit(customer, f"/api/orders/{order_id}/invoice", **{"Idempotency-Key": "one"}) == task
    result = succeeded(customer, task)["result"]
    answer = customer.send("GET", result)
    assert answer.content.startswith(b"%PDF-")
    assert len(answer.content) == int(answer.headers["Content-Length"])
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="invoice-')
    assert answer.headers["Cache-Control"] == "no-store"
    for stranger in (people.customer(), operator):
        for path in (task, result, task + "/events"):
            assert stranger.send("GET", path).status_code == 404
        assert stranger.send("POST", task + "/cancellation", json={}).status_code == 404


def test_an_order_that_is_not_confirmed_has_no_invoice(customer: Shop, operator: Shop) -> None:
    order_id = place(customer, new_product(operator, price_cents=90_000), 2)["order_id"]
    assert settled(customer, order_id) == "rejected"
    with pytest.raises(Refused) as refused:
        customer.post(f"/api/orders/{order_id}/invoice", {})
    assert refused.value.kind == "not-invoiced"


@pytest.mark.feature("F43")
def test_the_sales_report_has_every_line_and_the_right_sum(customer: Shop, operator: Shop) -> None:
    order_id, sku = completed(customer, operator, price_cents=1234)
    today = datetime.now(UTC).date().isoformat()
    wanted = {"from": today, "to": today}
    listed(customer, order_id)
    task = submit(operator, "/api/reports/sales", wanted | {"format": "csv"})
    text = operator.send("GET", succeeded(operator, task)["result"]).text
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["sku"] == sku]
    assert [(row["order"], row["quantity"], row["unit price"], row["amount"]) for row in rows] == [
        (order_id, "2", "12.34", "24.68")
    ]
    sheet = submit(operator, "/api/reports/sales", wanted | {"format": "xlsx"})
    assert operator.send("GET", succeeded(operator, sheet)["result"]).content.startswith(b"PK")
    assert customer.send("POST", "/api/reports/sales", json=wanted).status_code == 403
    assert customer.send("GET", task).status_code == 404


@pytest.mark.feature("F43")
@pytest.mark.parametrize("who", ["orders-tasks", pytest.param("rabbitmq", marks=BROKER)])
def test_a_task_is_accepted_while_its_worker_or_rabbitmq_stands_still_and_done_afterwards(
    stack: Deployment, customer: Shop, operator: Shop, who: str
) -> None:
    """Neither is asked: `bench/` tells how long it takes."""
    order_id, _ = completed(customer, operator)
    listed(customer, order_id)
    today = datetime.now(UTC).date().isoformat()
    with standing_still(stack, who):
        invoice = submit(customer, f"/api/orders/{order_id}/invoice", **{"Idempotency-Key": new_id()})
        wanted = {"from": today, "to": today}
        report = submit(operator, "/api/reports/sales", wanted, **{"Idempotency-Key": new_id()})
        assert [shop.get(task)["status"] for shop, task in ((customer, invoice), (operator, report))] == ["queued"] * 2
    assert customer.send("GET", succeeded(customer, invoice)["result"]).content.startswith(b"%PDF-")
    assert order_id in operator.send("GET", succeeded(operator, report)["result"]).text


@pytest.mark.feature("F43")
def test_the_owner_of_a_task_cancels_it_and_a_stranger_cannot(
    stack: Deployment, customer: Shop, operator: Shop, people: People
) -> None:
    order_id, _ = completed(customer, operator)
    with standing_still(stack, "orders-tasks"):
        unwanted, wanted = (submit(customer, f"/api/orders/{order_id}/invoice") for _ in range(2))
        for stranger, status in ((people.customer(), 404), (operator, 404), (people.guest(), 401)):
            assert stranger.send("POST", unwanted + "/cancellation", json={}).status_code == status
        assert customer.get(unwanted)["status"] == "queued"
        assert customer.post(unwanted + "/cancellation")["status"] == "cancelled"
    succeeded(customer, wanted)
    over = customer.get(unwanted)
    assert (over["status"], over["result"]) == ("cancelled", None)
    assert customer.send("GET", unwanted + "/result").status_code == 409


@pytest.mark.feature("F43")
def test_the_progress_of_a_task_is_told_as_it_comes_until_it_is_over(
    stack: Deployment, customer: Shop, operator: Shop
) -> None:
    """How it grows is told in tests/integration/test_tasks_live.py; here Nginx must hold nothing back."""
    order_id, _ = completed(customer, operator)
    with standing_still(stack, "orders-tasks"):
        task = submit(customer, f"/api/orders/{order_id}/invoice")
        stream = customer.send("GET", task + "/events", stream=True, timeout=(3, 30))
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines).startswith("retry: ")
        assert next(line for line in lines if line.startswith("event:")) == "event: queued"
    rest = list(lines)
    assert [line for line in rest if line.startswith("event:")][-1] == "event: succeeded"
    assert '"progress":100' in next(line for line in reversed(rest) if line.startswith("data:"))
