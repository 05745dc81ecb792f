"""Payments over HTTP, with sessions and balances on real servers."""

from __future__ import annotations

import pytest

from tests.integration.payments_house import House, a_house, authorize, registered


@pytest.fixture
def house(redis_ledger: str, redis_session: str, database_url: str) -> House:
    return a_house(redis_ledger, redis_session, database_url)


def test_a_deposit_is_repeated_safely_by_its_id_or_by_the_header(house: House) -> None:
    customer = house.browser("c1")
    body = {"amount_cents": 700, "deposit_id": "d1"}
    first = customer.post("/api/accounts/me/deposits", json=body)
    assert (first.status_code, first.json) == (
        201, {"amount_cents": 700, "available_cents": 50_700, "held_cents": 0, "deposit_id": "d1"},
    )  # fmt: skip

    customer.post("/api/accounts/me/deposits", json={"amount_cents": 1})
    assert customer.post("/api/accounts/me/deposits", json=body).json == first.json
    key = {"Idempotency-Key": "d1"}
    assert customer.post("/api/accounts/me/deposits", json={"amount_cents": 700}, headers=key).json == first.json
    other = customer.post("/api/accounts/me/deposits", json={"amount_cents": 701}, headers=key)
    assert (other.status_code, other.get_json()["type"].rsplit("/", 1)[-1]) == (422, "idempotency-key-reused")
    assert customer.get("/api/accounts/me").get_json()["available_cents"] == 50_701


@pytest.mark.parametrize("amount", [0, -1, 1_000_001, "100", 1.5, None, True])
def test_an_amount_out_of_bounds_changes_nothing(house: House, amount: object) -> None:
    customer = house.browser("c1")
    for path in ("deposits", "withdrawals"):
        answer = customer.post(f"/api/accounts/me/{path}", json={"amount_cents": amount})
        assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert customer.get("/api/accounts/me").json == {"available_cents": 0, "held_cents": 0}


def test_a_withdrawal_takes_what_is_available_and_not_what_is_held(house: House) -> None:
    house.tell(authorize("o1", 20_000))
    customer = house.browser("c1")
    refused = customer.post("/api/accounts/me/withdrawals", json={"amount_cents": 30_001})
    taken = customer.post("/api/accounts/me/withdrawals", json={"amount_cents": 30_000, "withdrawal_id": "w1"})
    house.project()

    problem = refused.get_json()
    assert (refused.status_code, problem["type"].rsplit("/", 1)[-1], problem["available_cents"]) == (
        409, "insufficient-funds", 30_000,
    )  # fmt: skip
    assert taken.json == {"amount_cents": 30_000, "available_cents": 0, "held_cents": 20_000, "withdrawal_id": "w1"}
    assert house.browser("op", "operator").get("/admin/payments/ledger").get_json()["balanced"]


@pytest.mark.sql
def test_a_statement_is_paged_from_the_newest_and_new_lines_shift_nothing(house: House) -> None:
    customer = house.browser("c1")
    for n in range(5):
        customer.post("/api/accounts/me/deposits", json={"amount_cents": n + 1})
    house.project()
    first = customer.get("/api/accounts/me/statement?limit=4").get_json()
    customer.post("/api/accounts/me/deposits", json={"amount_cents": 99})
    house.project()
    second = customer.get(f"/api/accounts/me/statement?limit=4&cursor={first['next_cursor']}").get_json()

    lines = first["items"] + second["items"]
    assert [line["available_change_cents"] for line in lines] == [5, 4, 3, 2, 1, 50_000]
    assert [line["available_cents"] for line in lines] == [50_015, 50_010, 50_006, 50_003, 50_001, 50_000]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "WzFd.", "WyJhIl0", "Wy0xXQ", "WzFlOTk5XQ", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OV0"])
def test_a_bad_cursor_is_told_so(house: House, cursor: str) -> None:
    answer = house.browser("c1").get(f"/api/accounts/me/statement?cursor={cursor}")

    assert (answer.status_code, answer.get_json()["type"].rsplit("/", 1)[-1]) == (422, "bad-cursor")


def test_only_operators_look_into_other_accounts_and_only_customers_have_one(house: House) -> None:
    house.tell(registered("c1"))
    nobody, customer, operator = house.app.test_client(), house.browser("c2"), house.browser("op", "operator")

    for path in ("/api/accounts/c1", "/admin/payments/ledger"):
        assert [browser.get(path).status_code for browser in (nobody, customer, operator)] == [401, 403, 200]
    for path in ("/api/accounts/me", "/api/accounts/me/statement"):
        assert [browser.get(path).status_code for browser in (nobody, customer, operator)] == [401, 200, 403]
    assert operator.get("/api/accounts/nobody").status_code == 404


def test_the_documentation_lists_every_endpoint(house: House) -> None:
    document = house.app.test_client().get("/docs/payments/openapi.json").get_json()

    assert set(document["paths"]) >= {
        "/api/accounts/me", "/api/accounts/me/statement", "/api/accounts/me/deposits", "/api/accounts/me/withdrawals",
        "/api/accounts/{customer_id}", "/admin/payments/ledger",
    }  # fmt: skip
