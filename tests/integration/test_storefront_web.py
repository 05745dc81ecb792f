"""The storefront over HTTP, on real Redis and SQL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from contracts.storefront import CustomerRegistered, ProductPriced
from sagashop import outbox, sql
from sagashop.bus import connect_bus
from services.storefront.app import build
from services.storefront.passwords import Passwords
from services.storefront.settings import StorefrontSettings
from tests.servers import RedisServer, eventually

QUICK = Passwords(memory_kib=8)
PASSWORD = "a long walk"


@pytest.fixture
def settings(redis_ledger: str, redis_session: str, database_url: str) -> StorefrontSettings:
    return StorefrontSettings(
        redis_ledger_url=redis_ledger,
        redis_session_url=redis_session,
        database_url=database_url,
        demo_email="demo@sagashop.example",
        demo_password="demo password",
        operator_email="Operator@Sagashop.example",
        operator_password="operator password",
    )


@pytest.fixture
def app(settings: StorefrontSettings) -> Flask:
    return build(settings, connect_bus(settings), QUICK)


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def operator(app: Flask) -> FlaskClient:
    client = app.test_client()
    login = {"email": "operator@sagashop.example", "password": "operator password"}
    assert client.post("/api/session", json=login).status_code == 201
    return client


def sign_up(client: FlaskClient, email: str = "demo.customer@example.org") -> dict[str, Any]:
    answer = client.post("/api/customers", json={"name": "Demo Customer", "email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return body(answer)


def put(client: FlaskClient, sku: str, quantity: object) -> TestResponse:
    return client.put(f"/api/cart/lines/{sku}", json={"quantity": quantity})


def body(answer: TestResponse) -> dict[str, Any]:
    found: dict[str, Any] = answer.get_json()
    return found


def kind(answer: TestResponse) -> tuple[int, str]:
    """Status and kind of a problem."""
    assert answer.mimetype == "application/problem+json", answer.text
    return answer.status_code, body(answer)["type"].rsplit("/", 1)[-1]


def waiting(settings: StorefrontSettings) -> list[sa.Row[Any]]:
    """What lies in the outbox, oldest first."""
    with sql.engine(settings.database_url).connect() as connection:
        return list(connection.execute(sa.select(outbox.TABLE).order_by(outbox.TABLE.c.id)))


# --- catalogue


@pytest.mark.feature("F51")
@pytest.mark.sql
def test_every_product_is_on_exactly_one_page(browser: FlaskClient) -> None:
    seen, cursor = [], ""
    while True:
        page = body(browser.get(f"/api/products?limit=7&cursor={cursor}"))
        assert len(page["items"]) <= 7
        seen += [product["sku"] for product in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) >= 60
    assert len({product.split("-")[0] for product in seen[:8]}) == 8


@pytest.mark.sql
def test_search_wants_every_word_in_any_case_and_takes_wildcards_literally(browser: FlaskClient) -> None:
    def found(text: str) -> list[str]:
        page = body(browser.get("/api/products", query_string={"search": text, "limit": 100}))
        return [product["sku"] for product in page["items"]]

    assert found("TERRACOTTA mug") == ["MUG-TERRA-01"]
    assert found("terracotta bicycle") == []
    assert found("%") == found("_") == found("a%") == found("'; --") == []


@pytest.mark.sql
def test_a_category_shows_only_its_own_and_an_unknown_one_nothing(browser: FlaskClient) -> None:
    categories = body(browser.get("/api/products/categories"))["items"]
    assert len(categories) >= 6
    for category in categories:
        page = body(browser.get(f"/api/products?limit=100&category={category['name']}"))
        assert {product["category"] for product in page["items"]} == {category["name"]}
        assert len(page["items"]) == category["products"]
    assert body(browser.get("/api/products?category=nothing"))["items"] == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/api/products?limit=0", (422, "invalid-request")),
        ("/api/products?limit=many", (422, "invalid-request")),
        ("/api/products?cursor=guess", (422, "bad-cursor")),
        ("/api/products?colour=blue", (422, "invalid-request")),
        ("/api/products/NO-SUCH", (404, "unknown-product")),
        ("/api/products/mug-terra-01", (404, "unknown-product")),
    ],
)
def test_a_wrong_question_about_products_gets_its_own_problem(
    browser: FlaskClient, path: str, problem: tuple[int, str]
) -> None:
    assert kind(browser.get(path)) == problem


@pytest.mark.sql
def test_a_price_change_raises_the_revision_and_tells_in_the_same_transaction(
    operator: FlaskClient, settings: StorefrontSettings
) -> None:
    changed = body(operator.patch("/api/products/MUG-TERRA-01", json={"price_cents": 1590}))
    assert (changed["price_cents"], changed["revision"]) == (1590, 2)
    assert body(operator.get("/api/products/MUG-TERRA-01")) == changed
    last = waiting(settings)[-1]
    assert (last.message_id, last.type, last.channel) == (
        "product:MUG-TERRA-01.2",
        "ProductPriced",
        "storefront.events",
    )
    assert json.loads(last.data) == {
        "sku": "MUG-TERRA-01", "revision": 2, "name": "Terra mug", "category": "mugs", "price_cents": 1590,
        "on_sale": True,
    }  # fmt: skip


@pytest.mark.sql
def test_a_refused_change_leaves_product_and_outbox_as_they_were(
    operator: FlaskClient, settings: StorefrontSettings
) -> None:
    before, product = len(waiting(settings)), body(operator.get("/api/products/MUG-TERRA-01"))
    for wrong in (0, -5, 10**12):
        answer = operator.patch("/api/products/MUG-TERRA-01", json={"price_cents": wrong})
        assert kind(answer) == (422, "bad-product")
    assert kind(operator.patch("/api/products/MUG-TERRA-01", json={})) == (422, "invalid-request")
    assert kind(operator.patch("/api/products/MUG-TERRA-01", json={"price_cents": "5"})) == (422, "invalid-request")
    assert kind(operator.patch("/api/products/NO-SUCH", json={"price_cents": 5})) == (404, "unknown-product")
    assert len(waiting(settings)) == before
    assert body(operator.get("/api/products/MUG-TERRA-01")) == product


NEW = {"sku": "MUG-NEW-09", "name": "New mug", "category": "mugs", "description": "Just in.", "price_cents": 900}


@pytest.mark.sql
def test_the_operator_adds_a_product_once(operator: FlaskClient, settings: StorefrontSettings) -> None:
    answer = operator.post("/api/products", json=NEW)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/products/MUG-NEW-09")
    assert body(operator.get("/api/products/MUG-NEW-09")) == {**NEW, "on_sale": True, "revision": 1}
    assert waiting(settings)[-1].message_id == "product:MUG-NEW-09.1"
    assert kind(operator.post("/api/products", json=NEW)) == (409, "sku-taken")


def test_only_the_operator_changes_the_catalogue(browser: FlaskClient) -> None:
    def attempts() -> list[tuple[int, str]]:
        return [
            kind(browser.post("/api/products", json=NEW)),
            kind(browser.patch("/api/products/MUG-TERRA-01", json={"price_cents": 1})),
            kind(browser.post("/admin/storefront/republish")),
        ]

    assert attempts() == [(401, "not-logged-in")] * 3
    sign_up(browser)
    assert attempts() == [(403, "forbidden")] * 3


@pytest.mark.sql
def test_a_withdrawn_product_leaves_the_list_and_can_not_be_added(operator: FlaskClient) -> None:
    put(operator, "MUG-TERRA-01", 1)
    operator.patch("/api/products/MUG-TERRA-01", json={"on_sale": False})
    assert body(operator.get("/api/products?search=terracotta+glaze"))["items"] == []
    assert len(body(operator.get("/api/products?search=terracotta+glaze&on_sale=any"))["items"]) == 1
    assert kind(put(operator, "MUG-TERRA-01", 2)) == (409, "not-on-sale")
    assert body(operator.get("/api/cart"))["lines"][0]["on_sale"] is False
    assert body(put(operator, "MUG-TERRA-01", 0))["lines"] == []


@pytest.mark.sql
def test_republishing_writes_copies_of_what_was_told_before(
    operator: FlaskClient, browser: FlaskClient, settings: StorefrontSettings
) -> None:
    sign_up(browser)
    first = waiting(settings)
    counts = body(operator.post("/admin/storefront/republish"))
    assert counts == {"products": 64, "customers": 2}
    again = waiting(settings)[len(first) :]
    assert {row.message_id for row in again} == {row.message_id for row in first}
    assert {row.data for row in again} == {row.data for row in first}


@pytest.mark.sql
def test_the_relay_brings_the_outbox_to_the_stream(app: Flask, settings: StorefrontSettings) -> None:
    assert app
    relay = outbox.Relay(
        sql.engine(settings.database_url), connect_bus(settings), [ProductPriced, CustomerRegistered], batch=20
    )
    while relay.step():
        pass
    entries = stream(settings, "{0}:storefront:events")
    assert [entry["type"] for entry in entries].count("ProductPriced") == 64
    assert [entry["type"] for entry in entries].count("CustomerRegistered") == 1
    assert waiting(settings) == []


# --- customers and sessions


@pytest.mark.feature("F30")
@pytest.mark.sql
def test_signing_up_logs_in_and_tells_the_others(browser: FlaskClient, settings: StorefrontSettings) -> None:
    customer = sign_up(browser, " Demo.Customer@Example.ORG")
    assert customer["email"] == "demo.customer@example.org"
    assert body(browser.get("/api/customers/me")) == customer
    session = body(browser.get("/api/session"))
    assert (session["logged_in"], session["customer_id"], session["role"]) == (
        True,
        customer["customer_id"],
        "customer",
    )
    told = waiting(settings)[-1]
    assert told.type == "CustomerRegistered"
    assert json.loads(told.data)["customer_id"] == customer["customer_id"]
    assert PASSWORD not in told.data


@pytest.mark.sql
def test_an_address_can_sign_up_once_in_any_case(browser: FlaskClient, settings: StorefrontSettings) -> None:
    sign_up(browser)
    before = len(waiting(settings))
    again = {"name": "Demo Customer", "email": "DEMO.customer@example.org", "password": PASSWORD}
    assert kind(browser.post("/api/customers", json=again)) == (409, "email-taken")
    assert len(waiting(settings)) == before


@pytest.mark.sql
def test_letters_count_as_they_are_in_addresses_and_names(browser: FlaskClient, operator: FlaskClient) -> None:
    for email in ("zoe@example.org", "zoë@example.org"):
        browser.delete("/api/session")
        new = {"name": "Zoë 🫖", "email": email, "password": PASSWORD}
        assert body(browser.post("/api/customers", json=new))["email"] == email
        assert body(browser.get("/api/customers/me"))["name"] == "Zoë 🫖"
    tea = {"sku": "TEA-1", "name": "Thé 🫖", "category": "tea", "description": "Hot", "price_cents": 100}
    assert operator.post("/api/products", json=tea).status_code == 201
    found = {
        text: len(body(browser.get(f"/api/products?search={text}"))["items"]) for text in ("thé 🫖", "THÉ", "the 🫖")
    }
    assert found == {"thé 🫖": 1, "THÉ": 1, "the 🫖": 0}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": " "}, "bad-name"),
        ({"email": "nobody"}, "bad-email"),
        ({"password": "short"}, "weak-password"),
        ({"password": 12345678}, "invalid-request"),
        ({"role": "operator"}, "invalid-request"),
    ],
)
def test_a_wrong_sign_up_gets_its_own_problem(browser: FlaskClient, changes: dict[str, object], problem: str) -> None:
    right = {"name": "Demo Customer", "email": "demo.customer@example.org", "password": PASSWORD}
    assert kind(browser.post("/api/customers", json={**right, **changes})) == (422, problem)
    assert body(browser.get("/api/session"))["logged_in"] is False


@pytest.mark.sql
def test_unknown_address_and_wrong_password_get_the_same_answer(browser: FlaskClient) -> None:
    answers = [
        browser.post("/api/session", json={"email": email, "password": "wrong password"})
        for email in ("demo@sagashop.example", "nobody@sagashop.example")
    ]
    assert [kind(answer) for answer in answers] == [(401, "wrong-credentials")] * 2
    first, second = ({k: v for k, v in body(answer).items() if k != "request_id"} for answer in answers)
    assert first == second
    assert not any(
        "sagashop_session" in cookie for answer in answers for cookie in answer.headers.getlist("Set-Cookie")
    )


def test_logging_out_ends_this_session_and_everywhere_ends_all(app: Flask) -> None:
    login = {"email": "demo@sagashop.example", "password": "demo password"}
    phone, laptop, tablet = (app.test_client() for _ in range(3))
    for client in (phone, laptop, tablet):
        assert client.post("/api/session", json=login).status_code == 201
    stolen = phone.get_cookie("sagashop_session")
    assert stolen is not None
    assert phone.delete("/api/session").status_code == 204
    phone.set_cookie("sagashop_session", stolen.value)
    assert [body(c.get("/api/session"))["logged_in"] for c in (phone, laptop, tablet)] == [False, True, True]
    assert laptop.delete("/api/session/everywhere").status_code == 204
    assert [body(c.get("/api/session"))["logged_in"] for c in (phone, laptop, tablet)] == [False, False, False]


@pytest.mark.sql
def test_a_changed_demo_password_takes_effect_at_the_next_start(settings: StorefrontSettings) -> None:
    build(settings, connect_bus(settings), QUICK)
    changed = StorefrontSettings(
        redis_session_url=settings.redis_session_url,
        redis_ledger_url=settings.redis_ledger_url,
        database_url=settings.database_url,
        demo_email=settings.demo_email,
        demo_password="another password",
    )
    client = build(changed, connect_bus(changed), QUICK).test_client()
    old = {"email": settings.demo_email, "password": settings.demo_password}
    assert kind(client.post("/api/session", json=old)) == (401, "wrong-credentials")
    assert client.post("/api/session", json={**old, "password": "another password"}).status_code == 201


# --- carts


def test_a_guests_cart_shows_lines_at_current_prices(browser: FlaskClient, operator: FlaskClient) -> None:
    assert body(browser.get("/api/cart")) == {"cart_id": None, "version": 0, "lines": [], "total_cents": 0}
    put(browser, "MUG-TERRA-01", 2)
    cart = body(put(browser, "STA-PEN-03", 1))
    assert (cart["version"], cart["total_cents"]) == (2, 2 * 1490 + 3290)
    assert [line["name"] for line in cart["lines"]] == ["Brass ballpoint", "Terra mug"]
    operator.patch("/api/products/MUG-TERRA-01", json={"price_cents": 1000})
    assert body(browser.get("/api/cart")) == {**cart, "total_cents": 5290, "lines": [
        cart["lines"][0], {**cart["lines"][1], "price_cents": 1000},
    ]}  # fmt: skip
    assert body(browser.get("/api/session"))["cart_id"] == cart["cart_id"]


@pytest.mark.parametrize(
    ("sku", "quantity", "problem"),
    [
        ("NO-SUCH", 1, (404, "unknown-product")),
        ("MUG-TERRA-01", 100, (422, "bad-quantity")),
        ("MUG-TERRA-01", -1, (422, "bad-quantity")),
        ("MUG-TERRA-01", 10**30, (422, "bad-quantity")),
        ("MUG-TERRA-01", "2", (422, "invalid-request")),
        ("MUG-TERRA-01", 1.5, (422, "invalid-request")),
        ("MUG-TERRA-01", None, (422, "invalid-request")),
    ],
)
def test_a_wrong_line_gets_its_own_problem_and_changes_nothing(
    browser: FlaskClient, sku: str, quantity: object, problem: tuple[int, str]
) -> None:
    put(browser, "STA-PEN-03", 1)
    before = body(browser.get("/api/cart"))
    assert kind(put(browser, sku, quantity)) == problem
    assert body(browser.get("/api/cart")) == before


def test_the_guests_cart_comes_along_at_log_in_and_stays_with_the_customer(app: Flask) -> None:
    login = {"email": "demo@sagashop.example", "password": "demo password"}
    laptop, phone = app.test_client(), app.test_client()
    put(laptop, "MUG-TERRA-01", 2)
    laptop.post("/api/session", json=login)
    put(laptop, "STA-PEN-03", 1)
    put(phone, "MUG-TERRA-01", 1)
    phone.post("/api/session", json=login)
    assert [(line["sku"], line["quantity"]) for line in body(phone.get("/api/cart"))["lines"]] == [
        ("STA-PEN-03", 1), ("MUG-TERRA-01", 3),
    ]  # fmt: skip
    assert body(laptop.get("/api/cart")) == body(phone.get("/api/cart"))
    laptop.delete("/api/session")
    assert body(laptop.get("/api/cart"))["lines"] == []


def test_a_forged_cart_cookie_opens_no_other_key(browser: FlaskClient) -> None:
    browser.set_cookie("sagashop_cart", "customer:x")
    assert body(browser.get("/api/cart"))["cart_id"] is None
    put(browser, "MUG-TERRA-01", 1)
    cookie = browser.get_cookie("sagashop_cart")
    assert cookie is not None
    assert len(cookie.value) == 32


def test_emptying_the_cart_removes_its_lines(browser: FlaskClient) -> None:
    put(browser, "MUG-TERRA-01", 1)
    assert browser.delete("/api/cart").status_code == 204
    assert body(browser.get("/api/cart"))["lines"] == []


# --- behaviour


def stream(settings: StorefrontSettings, name: str) -> list[dict[str, str]]:
    with redis.Redis.from_url(settings.redis_ledger_url, decode_responses=True, protocol=2) as client:
        return [fields for _, fields in client.xrange(name)]


@pytest.mark.feature("F01")
def test_what_a_visitor_does_arrives_on_the_behaviour_stream(
    browser: FlaskClient, settings: StorefrontSettings
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    tags = {"page": "/", "from": {"campaign": ["spring", 3]}}
    seen = browser.post("/api/activity", json={"kind": "page_view", "tags": tags}, headers={"traceparent": trace})
    assert seen.status_code == 202
    put(browser, "MUG-TERRA-01", 2)
    put(browser, "MUG-TERRA-01", 1)
    sign_up(browser)
    browser.delete("/api/session")
    browser.post("/api/session", json={"email": "demo.customer@example.org", "password": PASSWORD})
    visitor = browser.get_cookie("sagashop_visitor")
    assert visitor is not None

    def told() -> list[dict[str, str]]:  # by this visitor: the sender of an earlier test may still be at work
        return [entry for entry in stream(settings, "{0}:storefront:behaviour") if visitor.value in entry["data"]]

    eventually(lambda: len(told()) == 5)
    entries = told()
    events = [json.loads(entry["data"]) for entry in entries]
    assert [event["kind"] for event in events] == ["page_view", "add_to_cart", "signup", "logout", "login"]
    assert (events[0]["tags"], entries[0]["trace"]) == (tags, trace)
    assert events[1]["tags"] == {"sku": "MUG-TERRA-01", "pieces": 2}
    assert events[0]["customer_id"] is None
    assert events[2]["customer_id"] is not None


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"kind": "purchase"}, "invalid-request"),
        ({"kind": "page_view", "tags": [1]}, "invalid-request"),
        ({"kind": "page_view", "tags": {"text": "x" * 3000}}, "bad-tags"),
    ],
)
def test_a_browser_may_not_tell_everything(browser: FlaskClient, sent: dict[str, object], problem: str) -> None:
    assert kind(browser.post("/api/activity", json=sent)) == (422, problem)


def test_the_shop_goes_on_without_the_ledger_and_tells_again_when_it_is_back(
    settings: StorefrontSettings, own_redis: Callable[..., RedisServer]
) -> None:
    ledger = own_redis()
    own = StorefrontSettings(
        redis_ledger_url=ledger.url, redis_session_url=settings.redis_session_url, database_url=settings.database_url
    )
    browser = build(own, connect_bus(own), QUICK).test_client()
    ledger.stop()
    sign_up(browser)
    assert put(browser, "MUG-TERRA-01", 1).status_code == 200
    assert browser.post("/api/activity", json={"kind": "page_view"}).status_code == 202
    ledger.start()

    def told() -> bool:
        browser.post("/api/activity", json={"kind": "page_view"})
        return bool(stream(own, "{0}:storefront:behaviour"))

    eventually(told)


def test_behaviour_is_dropped_while_the_ledger_is_nearly_full(
    settings: StorefrontSettings, own_redis: Callable[..., RedisServer]
) -> None:
    ledger = own_redis("--maxmemory-policy", "noeviction")
    with ledger.client() as client:
        client.setrange("ballast", 17_000_000, "x")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.9))
    own = StorefrontSettings(
        redis_ledger_url=ledger.url, redis_session_url=settings.redis_session_url, database_url=settings.database_url
    )
    app = build(own, connect_bus(own), QUICK)
    browser = app.test_client()
    assert browser.post("/api/activity", json={"kind": "page_view", "tags": {"n": 1}}).status_code == 202
    behaviour = app.extensions["storefront"].behaviour
    eventually(lambda: behaviour.dropped == 1)
    with ledger.client() as client:
        client.delete("ballast")
    browser.post("/api/activity", json={"kind": "page_view", "tags": {"n": 2}})
    entries = eventually(lambda: stream(own, "{0}:storefront:behaviour"))
    assert [json.loads(entry["data"])["tags"] for entry in entries] == [{"n": 2}]


# --- faults


def test_without_redis_session_products_are_shown_and_the_rest_answers_503(
    settings: StorefrontSettings, own_redis: Callable[..., RedisServer]
) -> None:
    sessions = own_redis()
    own = StorefrontSettings(
        redis_ledger_url=settings.redis_ledger_url, redis_session_url=sessions.url, database_url=settings.database_url
    )
    browser = build(own, connect_bus(own), QUICK).test_client()
    put(browser, "MUG-TERRA-01", 1)
    sessions.stop()
    assert browser.get("/api/products").status_code == 200
    new = {"name": "Demo Customer", "email": "demo.customer@example.org", "password": PASSWORD}
    for answer in (browser.get("/api/cart"), put(browser, "STA-PEN-03", 1), browser.post("/api/customers", json=new)):
        assert kind(answer) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    assert browser.get("/readyz").status_code == 503
    assert not [row for row in waiting(own) if row.type == "CustomerRegistered"]
    sessions.start()
    assert browser.post("/api/customers", json=new).status_code == 201


def test_a_redis_session_that_hangs_is_given_up_within_two_seconds(
    settings: StorefrontSettings, own_redis: Callable[..., RedisServer]
) -> None:
    sessions = own_redis()
    own = StorefrontSettings(
        redis_ledger_url=settings.redis_ledger_url, redis_session_url=sessions.url, database_url=settings.database_url
    )
    browser = build(own, connect_bus(own), QUICK).test_client()
    put(browser, "MUG-TERRA-01", 1)
    sessions.freeze()
    began = time.monotonic()
    assert kind(put(browser, "MUG-TERRA-01", 2)) == (503, "unavailable")
    assert time.monotonic() - began < 2
    sessions.thaw()
    assert put(browser, "MUG-TERRA-01", 2).status_code == 200


def test_the_operators_endpoints_are_there_for_the_operator_only(operator: FlaskClient, browser: FlaskClient) -> None:
    assert body(operator.get("/admin/storefront/status"))["paused"] is False
    assert operator.get("/admin/storefront/streams").status_code == 200
    assert kind(browser.get("/admin/storefront/status")) == (401, "not-logged-in")


def test_the_openapi_document_names_every_route(app: Flask) -> None:
    document = body(app.test_client().get("/docs/storefront/openapi.json"))
    paths = {rule.rule.replace("<", "{").replace(">", "}") for rule in app.url_map.iter_rules()}
    assert set(document["paths"]) == {path for path in paths if path.startswith(("/api/", "/admin/"))}


@pytest.mark.feature("F51")
def test_the_front_door_learns_whether_an_operator_is_logged_in(
    app: Flask, browser: FlaskClient, operator: FlaskClient
) -> None:
    sign_up(browser, "customer@example.org")
    assert app.test_client().get("/api/session/operator").status_code == 401
    assert browser.get("/api/session/operator").status_code == 403
    assert operator.get("/api/session/operator").status_code == 204
