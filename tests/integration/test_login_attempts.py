"""Log-in attempts are counted by account: a guesser is slowed down, and its owner is not kept out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sagashop.bus import connect_bus
from services.storefront.app import build
from services.storefront.attempts import Attempts
from services.storefront.domain import TooManyAttempts
from services.storefront.passwords import Passwords
from services.storefront.settings import StorefrontSettings
from tests.servers import eventually

PASSWORD = "demo password"
KNOWN, STRANGER = "demo@sagashop.example", "nobody@sagashop.example"


@pytest.fixture
def browser(redis_ledger: str, redis_session: str, tmp_path: Path) -> FlaskClient:
    settings = StorefrontSettings(
        redis_ledger_url=redis_ledger,
        redis_session_url=redis_session,
        database_url=f"sqlite:///{tmp_path}/storefront.db",
        demo_email=KNOWN,
        demo_password=PASSWORD,
        login_attempts=3,
        login_pause_s=1.5,
    )
    return build(settings, connect_bus(settings), Passwords(memory_kib=8)).test_client()


def log_in(browser: FlaskClient, email: str, password: str) -> TestResponse:
    return browser.post("/api/session", json={"email": email, "password": password})


@pytest.mark.feature("F30")
@pytest.mark.parametrize("email", [KNOWN, STRANGER])
def test_guessing_is_stopped_with_the_same_answers_whether_the_account_exists(browser: FlaskClient, email: str) -> None:
    guesses = [log_in(browser, email, f"guess {number}") for number in range(5)]
    assert [guess.status_code for guess in guesses] == [401, 401, 401, 429, 429]
    assert all(1 <= int(guess.headers["Retry-After"]) <= 2 for guess in guesses[3:])
    problem = guesses[4].get_json()
    assert problem["type"].endswith("/too-many-attempts")
    assert email not in guesses[4].text


def test_the_right_password_waits_like_a_wrong_one_but_not_for_long(browser: FlaskClient) -> None:
    for _ in range(3):
        log_in(browser, KNOWN, "a guess")
    assert log_in(browser, f"  {KNOWN.upper()} ", PASSWORD).status_code == 429
    assert log_in(browser, STRANGER, "a guess").status_code == 401, "others are not concerned"
    answer = eventually(lambda: log_in(browser, KNOWN, PASSWORD).status_code == 201, deadline_s=10, every_s=0.1)
    assert answer, "asking again while it is too early must not make the wait longer"


def test_who_logs_in_starts_anew(browser: FlaskClient) -> None:
    for _ in range(3):
        assert [log_in(browser, KNOWN, "a guess").status_code for _ in range(2)] == [401, 401]
        assert log_in(browser, KNOWN, PASSWORD).status_code == 201


def test_guesses_at_the_same_time_are_all_counted_and_nothing_is_kept_for_good(redis_session: str) -> None:
    client = redis.Redis.from_url(redis_session, decode_responses=True)
    attempts = Attempts(client, at_once=5, pause_s=30)

    def passes(_: int) -> bool:
        try:
            attempts.count(KNOWN)
        except TooManyAttempts:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(passes, range(40))) == 5
    (key,) = client.keys()
    assert KNOWN not in key
    assert 0 < client.ttl(key) <= 5 * 30
