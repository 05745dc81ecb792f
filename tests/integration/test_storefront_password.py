"""A customer chooses a new password: who may, what ends with the old one, and who is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sagashop import outbox, sql
from sagashop.bus import connect_bus
from sagashop.messages import now_ms
from services.storefront.app import build
from services.storefront.passwords import Passwords
from services.storefront.settings import StorefrontSettings

OLD, NEW = "a long walk", "a longer walk by the sea"
EMAIL = "walker@sagashop.example"


@pytest.fixture
def settings(redis_ledger: str, redis_session: str, database_url: str) -> StorefrontSettings:
    return StorefrontSettings(
        redis_ledger_url=redis_ledger, redis_session_url=redis_session, database_url=database_url,
        operator_email="operator@sagashop.example", operator_password="operator password",
        login_attempts=4, login_pause_s=60,
    )  # fmt: skip


@pytest.fixture
def app(settings: StorefrontSettings) -> Flask:
    return made(settings)


def made(settings: StorefrontSettings) -> Flask:
    return build(settings, connect_bus(settings), Passwords(memory_kib=8))


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """A customer's, who has just signed up."""
    client = app.test_client()
    answer = client.post("/api/customers", json={"name": "Demo Walker", "email": EMAIL, "password": OLD})
    assert answer.status_code == 201
    return client


def change(browser: FlaskClient, current: str = OLD, new: str = NEW, **headers: str) -> TestResponse:
    sent = {"current_password": current, "new_password": new}
    return browser.post("/api/account/password", json=sent, headers=headers)


def log_in(app: Flask, password: str, email: str = EMAIL) -> tuple[int, FlaskClient]:
    client = app.test_client()
    return client.post("/api/session", json={"email": email, "password": password}).status_code, client


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/api/customers/me").status_code == 200


def kind(answer: TestResponse) -> tuple[int, str]:
    problem: Any = answer.get_json()
    return answer.status_code, problem["type"].rsplit("/", 1)[-1]


def told(settings: StorefrontSettings) -> list[Any]:
    """What lies in the outbox about passwords."""
    with sql.engine(settings.database_url).connect() as connection:
        rows = connection.execute(sa.select(outbox.TABLE).where(outbox.TABLE.c.type == "PasswordChanged"))
        return [json.loads(row.data) for row in rows]


def token(browser: FlaskClient) -> str:
    cookie = browser.get_cookie("sagashop_session")
    assert cookie is not None
    return cookie.value


@pytest.mark.feature("F30")
@pytest.mark.sql
def test_the_new_password_holds_every_other_session_ends_and_this_one_gets_a_new_token(
    app: Flask, browser: FlaskClient
) -> None:
    _, elsewhere = log_in(app, OLD)
    before = token(browser)
    answer = change(browser)
    assert (answer.status_code, answer.data) == (204, b"")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert token(browser) != before
    assert (is_in(browser), is_in(elsewhere)) == (True, False)
    thief = app.test_client()
    thief.set_cookie("sagashop_session", before)
    assert not is_in(thief)
    assert (log_in(app, OLD)[0], log_in(app, NEW)[0]) == (401, 201)


@pytest.mark.sql
def test_the_change_is_told_once_and_says_neither_password(
    browser: FlaskClient, settings: StorefrontSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    change(browser, current="not this one")
    change(browser)
    (event,) = told(settings)
    assert set(event) == {"customer_id", "changed_ms"}
    assert abs(event["changed_ms"] - now_ms()) < 60_000
    logged = "".join(capfd.readouterr())
    assert "/api/account/password" in logged
    assert not [secret for secret in (OLD, NEW, "not this one") if secret in logged]


@pytest.mark.parametrize(
    ("current", "new", "problem"),
    [
        ("not this one", NEW, (403, "wrong-password")),
        ("", NEW, (403, "wrong-password")),
        (OLD, "short", (422, "weak-password")),
        (OLD, "x" * 201, (422, "weak-password")),
    ],
)
def test_what_is_refused_changes_nothing(
    app: Flask, browser: FlaskClient, settings: StorefrontSettings, current: str, new: str, problem: tuple[int, str]
) -> None:
    before = token(browser)
    assert kind(change(browser, current, new)) == problem
    assert (token(browser), is_in(browser), told(settings)) == (before, True, [])
    assert log_in(app, OLD)[0] == 201


def test_guesses_through_a_stolen_session_are_limited_together_with_those_at_the_log_in(
    app: Flask, browser: FlaskClient
) -> None:
    answers = [kind(change(browser, f"guess {number}"))[0] for number in range(3)]
    assert (answers, log_in(app, "guess 3")[0]) == ([403, 403, 403], 401)
    late = change(browser)
    assert kind(late) == (429, "too-many-attempts")
    assert int(late.headers["Retry-After"]) >= 1


def test_who_knows_the_password_has_all_attempts_again(app: Flask, browser: FlaskClient) -> None:
    for number in range(3):
        change(browser, f"guess {number}")
    assert change(browser).status_code == 204
    assert [log_in(app, "a guess")[0] for _ in range(5)] == [401, 401, 401, 401, 429]


def test_only_a_customer_who_is_logged_in_may_and_no_other_site(app: Flask, browser: FlaskClient) -> None:
    assert kind(change(app.test_client())) == (401, "not-logged-in")
    _, operator = log_in(app, "operator password", "operator@sagashop.example")
    assert kind(change(operator, "operator password")) == (403, "forbidden")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert kind(change(browser, **headers)) == (403, "cross-origin")
    assert log_in(app, OLD)[0] == 201


def test_of_two_changes_at_once_one_wins_and_the_other_is_told(app: Flask, browser: FlaskClient) -> None:
    """Both knew the password when they asked."""
    customers = app.extensions["storefront"].customers
    found = customers.log_in(EMAIL, OLD)
    overtaken = [lambda: customers.change_password(found, OLD, "the other one's", then=lambda: None)]

    class Slow(Passwords):
        def hash(self, password: str) -> str:
            if overtaken:
                overtaken.pop()()
            return super().hash(password)

    customers._passwords = Slow(memory_kib=8)
    assert kind(change(browser)) == (403, "wrong-password")
    assert (log_in(app, NEW)[0], log_in(app, "the other one's")[0]) == (401, 201)


def test_without_redis_session_nothing_is_changed(
    app: Flask, browser: FlaskClient, settings: StorefrontSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes away after the session was looked up, and before the sessions could be ended."""

    def away(_: object) -> None:
        raise redis.ConnectionError("redis-session is away")

    with monkeypatch.context() as patch:
        patch.setattr("sagashop.web.auth.log_out_all", away)
        assert kind(change(browser)) == (503, "unavailable")
    assert (told(settings), log_in(app, OLD)[0], log_in(app, NEW)[0]) == ([], 201, 401)
