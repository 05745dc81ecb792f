"""Invoices and reports through the front door: taken at once, made by a worker, and for their owner alone."""

from __future__ import annotations

import csv
import io
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from sagashop.cli.shop import Refused, Shop
from tests.people import People, new_product, place, settled
from tests.servers import eventually


def submit(shop: Shop, path: str, body: Any = None, **headers: str) -> str:
    """Where the task is found."""
    answer = shop.send("POST", path, json=body or {}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] in {"queued", "running", "succeeded"}
    return answer.headers["Location"]


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
    took_s = []
    for _ in range(5):
        began = time.monotonic()
        task = submit(customer, f"/api/orders/{order_id}/invoice", **{"Idempotency-Key": "one"})
        took_s.append(time.monotonic() - began)
    assert min(took_s) < 0.05
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
    eventually(lambda: order_id in {row["order_id"] for row in customer.get("/api/orders")["items"]
                                    if row["status"] == "completed"}, deadline_s=20)  # fmt: skip
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
def test_the_progress_of_a_task_is_told_until_it_is_over(customer: Shop, operator: Shop) -> None:
    order_id, _ = completed(customer, operator)
    task = submit(customer, f"/api/orders/{order_id}/invoice")
    told = customer.body(task + "/events", read_timeout_s=30).decode()
    assert told.startswith("retry: ")
    assert "event: succeeded\n" in told
    assert '"progress":100' in told
