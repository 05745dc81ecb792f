"""E-mail in a whole stack: an order leads to letters that the operator can read, and an outage only delays them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.deployment import Deployment
from sagashop.cli import main
from sagashop.cli.shop import Shop
from tests.people import PASSWORD, WELCOME_CENTS, People, new_product, place, settled
from tests.servers import eventually


def subjects(operator: Shop, customer: Shop) -> set[str]:
    """What the customer was written."""
    address = customer.get("/api/customers/me")["email"]
    items = operator.get("/api/notifications/mails")["items"]
    return {mail["subject"] for mail in items if address in mail["recipients"]}


@pytest.mark.feature("F31")
def test_an_order_leads_to_mail_that_only_the_operator_reads(customer: Shop, operator: Shop) -> None:
    order = place(customer, new_product(operator, price_cents=1234), 2)
    assert settled(customer, order["order_id"]) == "completed"
    wanted = {"Welcome to Sagashop", "Your order is confirmed", "Your parcel is on its way"}
    eventually(lambda: subjects(operator, customer) == wanted, deadline_s=20)
    mails = operator.get("/api/notifications/mails")["items"]
    mail = next(mail for mail in mails if mail["subject"] == "Your order is confirmed")
    html = operator.send("GET", f"/api/notifications/mails/{mail['id']}/html")
    assert html.headers["Content-Security-Policy"].endswith("frame-ancestors 'self'; sandbox")
    assert "Thank you for your order" in html.text
    assert customer.send("GET", "/api/notifications/mails").status_code == 403
    assert operator.send("GET", "/mail/").status_code == 200


@pytest.mark.feature("F31")
def test_mail_waits_for_the_mail_server_and_comes_when_it_is_back(
    stack: Deployment, customer: Shop, operator: Shop
) -> None:
    sku = new_product(operator, price_cents=WELCOME_CENTS)
    stack.stop("mail")
    try:
        order = place(customer, sku, 2)
        assert settled(customer, order["order_id"]) == "rejected"
        job = f"{order['order_id']}.OrderRejected"
        eventually(lambda: operator.send("GET", f"/admin/notifications/jobs/{job}").ok, deadline_s=15)
        assert operator.send("GET", "/api/notifications/mails").status_code == 503
    finally:
        stack.start("mail")
    subject = "There is a problem with your payment"
    eventually(lambda: subject in subjects(operator, customer), deadline_s=30)
    eventually(lambda: operator.get(f"/admin/notifications/jobs/{job}")["status"] == "done", deadline_s=10)
    assert operator.get(f"/admin/notifications/jobs/{job}")["attempts"] == 1
    queues: Any = json.loads(sagashop(stack, "--json", "jobs", "list"))
    assert (queues[0]["service"], queues[0]["failed"]) == ("notifications", 0)
    assert json.loads(sagashop(stack, "--json", "jobs", "show", job))["priority"] == "high"
    assert "0 failed jobs" in sagashop(stack, "jobs", "failed")
    assert sagashop(stack, "jobs", "retry") == "retried 0\n"


@pytest.mark.feature("F31")
def test_a_new_password_ends_the_other_sessions_and_is_written_about(
    people: People, customer: Shop, operator: Shop
) -> None:
    email, elsewhere = customer.get("/api/customers/me")["email"], people.guest()
    elsewhere.log_in(email, PASSWORD)
    new = {"current_password": PASSWORD, "new_password": "another battery, another horse"}
    assert (
        customer.send("POST", "/api/account/password", json={**new, "current_password": "a guess"}).status_code == 403
    )
    customer.post("/api/account/password", new)
    assert customer.get("/api/session")["logged_in"]
    assert not elsewhere.get("/api/session")["logged_in"]
    assert people.guest().log_in(email, new["new_password"]).get("/api/customers/me")["email"] == email
    eventually(lambda: "Your password was changed" in subjects(operator, customer), deadline_s=20)


def sagashop(stack: Deployment, *words: str) -> str:
    result = CliRunner().invoke(main, ["--env-file", str(stack.env_file), "--url", stack.url, *words])
    assert result.exit_code == 0, result.output
    return result.stdout
