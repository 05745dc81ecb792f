"""Sessions on a real redis-session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import redis
from flask import Blueprint, Response

from sagashop import redis_clients
from sagashop.sessions import Session, Sessions
from sagashop.settings import Settings
from sagashop.web import auth
from sagashop.web.app import create_app
from sagashop.web.inputs import Answer
from tests.servers import RedisServer, eventually

pytestmark = pytest.mark.feature("F30")


@pytest.fixture
def client(redis_session: str) -> Iterator[redis.Redis]:
    with redis_clients.session(Settings(redis_session_url=redis_session)) as client:
        yield client


def member_area() -> Blueprint:
    routes = Blueprint("members", __name__)

    @routes.post("/login/<role>")
    def login(role: auth.Role) -> Answer:
        response = Response(status=201)
        auth.log_in(response, auth.Who("u1", role, "Demo Customer"))
        return response

    @routes.get("/customers-only")
    def customers_only() -> Answer:
        return auth.require_customer()

    @routes.get("/operators-only")
    def operators_only() -> Answer:
        return auth.require_operator()

    @routes.post("/logout/<where>")
    def logout(where: str) -> Answer:
        response = Response(status=204)
        auth.log_out(response, everywhere=where == "everywhere")
        return response

    return routes


def replica(url: str, **settings: Any) -> Any:
    """One process of a service; each has its own connections."""
    told = Settings(redis_session_url=url, **settings)
    sessions = Sessions(redis_clients.session(told), told.session_ttl_s, told.session_max_s)
    return create_app("demo", told, blueprints=[member_area()], checks={}, sessions=sessions)


def token_of(browser: Any) -> str:
    return str(browser.get_cookie(auth.COOKIE).value)


def test_a_session_is_found_by_its_token_and_says_who_it_is(client: redis.Redis) -> None:
    sessions = Sessions(client)
    session = sessions.get(sessions.create("u1", "Demo Customer", "customer"))
    assert session is not None
    assert (session.user_id, session.name, session.role) == ("u1", "Demo Customer", "customer")
    assert session.created_ms <= session.last_active_ms < session.ends_ms
    assert sessions.get("not-a-token") is None


def test_the_token_itself_is_not_in_redis(client: redis.Redis) -> None:
    token = Sessions(client).create("u1", "Demo Customer", "customer")
    assert len(token) >= 43
    stored = [(key, client.hgetall(key)) for key in client.scan_iter("*:token:*")]
    assert len(stored) == 1
    assert token not in str(stored)


def test_a_session_that_is_used_slides_and_one_that_is_not_ends(client: redis.Redis) -> None:
    sessions = Sessions(client, ttl_s=1)
    used, idle = (sessions.create("u1", "Demo Customer", "customer") for _ in range(2))
    first = last = sessions.get(used)
    assert first is not None
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        last = sessions.get(used)
        assert last is not None
        time.sleep(0.1)
    assert last is not None
    assert last.last_active_ms > first.last_active_ms
    assert sessions.get(idle) is None


def test_even_a_used_session_ends_at_its_absolute_end(client: redis.Redis) -> None:
    sessions = Sessions(client, ttl_s=60, max_s=1)
    token = sessions.create("u1", "Demo Customer", "customer")
    assert sessions.get(token) is not None
    eventually(lambda: sessions.get(token) is None, deadline_s=5)


def test_everything_sessions_store_expires(client: redis.Redis) -> None:
    sessions = Sessions(client, ttl_s=60, max_s=600)
    sessions.rotate(sessions.create("u1", "Demo Customer", "customer"))
    lives = {key: client.ttl(key) for key in client.scan_iter("*")}
    assert len(lives) == 2
    assert all(0 < ttl_s <= 600 for ttl_s in lives.values())


def test_logging_out_here_leaves_the_other_sessions(client: redis.Redis) -> None:
    sessions = Sessions(client)
    here, there = (sessions.create("u1", "Demo Customer", "customer") for _ in range(2))
    sessions.logout(here)
    assert (sessions.get(here), sessions.get(there) is None) == (None, False)


def test_logging_out_everywhere_ends_every_session_of_the_user_and_no_other(client: redis.Redis) -> None:
    sessions = Sessions(client)
    mine = [sessions.create("u1", "Demo Customer", "customer") for _ in range(3)]
    mine[0] = sessions.rotate(mine[0]) or ""
    other = sessions.create("u2", "Demo Operator", "operator")
    assert sessions.logout_everywhere("u1") == 3
    assert [sessions.get(token) for token in mine] == [None] * 3
    assert sessions.get(other) is not None
    assert sessions.logout_everywhere("u1") == 0


def test_a_session_that_shall_be_alone_ends_all_others_of_the_user_and_nobody_elses(client: redis.Redis) -> None:
    sessions = Sessions(client)
    mine = [sessions.create("u1", "Demo Customer", "customer") for _ in range(3)]
    other = sessions.create("u2", "Demo Operator", "operator")
    alone = sessions.create("u1", "Demo Customer", "customer", replaces=mine[0], alone=True)
    assert [sessions.get(token) for token in mine] == [None] * 3
    assert None not in (sessions.get(alone), sessions.get(other))
    assert sessions.logout_everywhere("u1") == 1


def test_rotating_keeps_the_session_and_kills_the_old_token(client: redis.Redis) -> None:
    sessions = Sessions(client)
    old = sessions.create("u1", "Demo Customer", "customer")
    fresh = sessions.rotate(old)
    assert fresh is not None
    assert sessions.get(old) is None
    assert sessions.get(fresh) is not None
    assert sessions.rotate(old) is None


def test_a_lookup_is_one_command(client: redis.Redis) -> None:
    sessions = Sessions(client)
    token = sessions.create("u1", "Demo Customer", "customer")
    sessions.get(token)
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    processed = client.info("stats")["total_commands_processed"]
    sessions.get(token)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert client.info("stats")["total_commands_processed"] - processed <= 8  # the script's own calls count too


def test_lookups_and_a_logout_at_once_never_bring_a_session_back(client: redis.Redis) -> None:
    sessions = Sessions(client)
    for _ in range(20):
        token = sessions.create("u1", "Demo Customer", "customer")
        with ThreadPoolExecutor(4) as pool:
            lookups = [pool.submit(sessions.get, token) for _ in range(8)]
            sessions.logout_everywhere("u1")
            assert all(lookup.exception() is None for lookup in lookups)
        assert sessions.get(token) is None


def test_a_log_in_on_one_replica_holds_on_another(redis_session: str) -> None:
    one, two = replica(redis_session).test_client(), replica(redis_session).test_client()
    assert one.get("/customers-only").status_code == 401
    assert one.post("/login/customer").status_code == 201
    two.set_cookie(auth.COOKIE, token_of(one))
    assert two.get("/customers-only").json == {"user_id": "u1", "role": "customer", "name": "Demo Customer"}
    assert one.post("/logout/here").status_code == 204
    assert two.get("/customers-only").status_code == 401


def test_logging_in_again_ends_the_session_before(redis_session: str) -> None:
    web = replica(redis_session)
    browser, thief = web.test_client(), web.test_client()
    browser.post("/login/customer")
    thief.set_cookie(auth.COOKIE, token_of(browser))
    browser.post("/login/customer")
    assert (thief.get("/customers-only").status_code, browser.get("/customers-only").status_code) == (401, 200)


def test_logging_out_everywhere_reaches_the_other_browser(redis_session: str) -> None:
    web = replica(redis_session)
    phone, desk = web.test_client(), web.test_client()
    for browser in (phone, desk):
        browser.post("/login/customer")
    phone.post("/logout/everywhere")
    assert desk.get("/customers-only").status_code == 401


def test_roles_keep_customers_and_operators_apart(redis_session: str) -> None:
    browser = replica(redis_session).test_client()
    browser.post("/login/customer")
    assert browser.get("/operators-only").status_code == 403
    browser.post("/login/operator")
    assert (browser.get("/operators-only").status_code, browser.get("/customers-only").status_code) == (200, 403)


@pytest.mark.parametrize("secure", [False, True])
def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(redis_session: str, secure: bool) -> None:
    web = replica(redis_session, cookie_secure=secure).test_client()
    cookie = web.post("/login/customer").headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert ("Secure" in cookie.split("; ")) is secure


def test_sessions_survive_a_restart_of_redis(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis(durable=True)
    browser = replica(server.url).test_client()
    browser.post("/login/customer")
    server.kill()
    server.start()
    assert browser.get("/customers-only").status_code == 200


@pytest.mark.parametrize("fault", ["down", "silent"])
def test_without_redis_the_answer_is_503_within_two_seconds_and_service_resumes(
    own_redis: Callable[..., RedisServer], fault: str
) -> None:
    server = own_redis(durable=True)
    browser = replica(server.url).test_client()
    browser.post("/login/customer")
    server.kill() if fault == "down" else server.freeze()
    for _ in range(2):  # on the old connection, and on a new one
        began = time.monotonic()
        response = browser.get("/customers-only")
        assert time.monotonic() - began < 2.0
        assert (response.status_code, "Retry-After" in response.headers) == (503, True)
        assert response.json["type"].endswith("/unavailable")
    server.start() if fault == "down" else server.thaw()
    assert eventually(lambda: browser.get("/customers-only").status_code == 200)


def test_a_stored_session_has_the_documented_fields(client: redis.Redis) -> None:
    Sessions(client).create("u1", "Demo Customer", "customer")
    (key,) = client.scan_iter("*:token:*")
    stored = {field.name for field in msgspec.structs.fields(Session)} - {"last_active_ms"}  # the expiry tells it
    assert set(client.hgetall(key)) == stored
