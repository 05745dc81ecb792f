"""What the front door and the services refuse, and what they never tell."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from deploy.deployment import Deployment
from deploy.local.ports import free_settings
from deploy.local.processes import Process, table
from deploy.local.stack import Stack
from sagashop.cli.shop import Shop
from sagashop.messages import new_id
from tests.apps import SETTINGS, apps

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
TOO_LONG = b'{"email": "' + b"x" * 70_000 + b'"}'
JSON = {"Content-Type": "application/json"}
FROM_ELSEWHERE: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site"},
]


class Route(NamedTuple):
    service: str
    method: str
    path: str
    has_body: bool


@pytest.fixture(scope="module")
def unsafe_routes(tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    """Every route of every service that may change something, as the applications know them."""
    folder = tmp_path_factory.mktemp("apps")
    return sorted(
        {
            Route(service, method, re.sub("<[^>]*>", "x", rule.rule), bool(declared and declared.json))
            for service in SETTINGS
            for app in apps(service, folder)
            for rule in app.url_map.iter_rules()
            for declared in [getattr(app.view_functions[rule.endpoint], "declared", None)]
            for method in (rule.methods or set()) & UNSAFE
        }
    )


def kind(answer: requests.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", (answer.status_code, answer.text)
    return str(answer.json()["type"].rsplit("/", 1)[-1])


@pytest.mark.feature("F50")
def test_no_route_that_changes_something_answers_to_another_site(
    stack: Deployment, operator: Shop, unsafe_routes: list[Route]
) -> None:
    assert {route.service for route in unsafe_routes} >= set(SETTINGS) - {"chat"}
    assert len(unsafe_routes) >= 40
    cookies = operator.session.cookies.get_dict()
    let_in = [
        (route, headers)
        for route in unsafe_routes
        for headers in FROM_ELSEWHERE
        for answer in [send(stack.url, route, cookies, headers=headers, data=b"{}")]
        if (answer.status_code, kind(answer)) != (403, "cross-origin")
    ]
    assert let_in == []


def send(url: str, route: Route, cookies: Mapping[str, str], **options: object) -> requests.Response:
    headers = {**JSON, **options.pop("headers", {})}  # type: ignore[dict-item]
    return requests.request(
        route.method,
        url + route.path,
        headers=headers,
        cookies=dict(cookies),
        timeout=10,
        **options,  # type: ignore[arg-type]
    )


def test_our_own_pages_and_programs_are_let_in(stack: Deployment) -> None:
    for headers in ({}, {"Sec-Fetch-Site": "same-origin", "Origin": stack.url}, {"Origin": stack.url}):
        answer = requests.delete(f"{stack.url}/api/cart", headers=headers, timeout=10)
        assert answer.status_code == 204, answer.text


def in_pieces() -> Iterator[bytes]:
    """Sent chunked: nobody knows the length beforehand."""
    yield from (TOO_LONG[start : start + 8192] for start in range(0, len(TOO_LONG), 8192))


@pytest.mark.feature("F50")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_64_kib_is_refused_at_the_front_door_and_by_every_service_itself(
    stack: Deployment, operator: Shop, unsafe_routes: list[Route], chunked: bool
) -> None:
    cookies = operator.session.cookies.get_dict()
    inside = {service: stack.inside(stack.matching(f"{service}-web")[0]) for service in SETTINGS}
    with_body = [route for route in unsafe_routes if route.has_body]
    assert len({route.service for route in with_body}) >= 5
    for route in with_body:
        for url in (stack.url, inside[route.service]):
            answer = send(url, route, cookies, data=in_pieces() if chunked else TOO_LONG)
            assert (answer.status_code, kind(answer)) == (413, "too-large"), (url, route)


@pytest.mark.feature("F50")
@pytest.mark.parametrize("email", [f"{new_id()}@sagashop.example", "the demo customer"])
def test_guessing_a_password_is_slowed_down_whether_the_account_exists_or_not(stack: Deployment, email: str) -> None:
    if email == "the demo customer":
        email = stack.env["DEMO_EMAIL"]
    guesses = [
        requests.post(f"{stack.url}/api/session", json={"email": email, "password": f"guess {n}"}, timeout=10)
        for n in range(12)
    ]
    assert [guess.status_code for guess in guesses] == [401] * 10 + [429] * 2
    assert kind(guesses[-1]) == "too-many-attempts"
    assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 60


EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "nginx",
}


@pytest.mark.feature("F50")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/no-such-page", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/docs/orders/", 200),
        ("GET", "/docs/orders/openapi.json", 200),
        ("GET", "/vendor/swagger-ui/swagger-ui.css", 200),
        *((method, path, 401) for method, path in [("GET", "/api/orders"), ("GET", "/api/accounts/me")]),
        *(("GET", f"/admin/{service}/streams", 401) for service in SETTINGS if service != "chat"),
        ("GET", "/api/products", 200),
        ("GET", "/api/analytics/summary", 200),
        ("GET", "/api/chat/", 200),
        ("DELETE", "/api/products", 405),
        ("POST", "/", 405),
    ],
)
def test_every_kind_of_answer_has_the_headers_that_browsers_heed_and_names_no_version(
    stack: Deployment, method: str, path: str, status: int
) -> None:
    answer = requests.request(method, stack.url + path, timeout=10)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
    for part in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"], "inline scripts fall under default-src"
    assert answer.headers["X-Request-ID"]
    assert {"X-Powered-By", "Via", "X-AspNet-Version"}.isdisjoint(answer.headers)
    if path.startswith(("/api/", "/admin/")) and path != "/api/nothing":
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("query", "status", "kind_of_it"), [(9_000, 414, "too-long"), (7_500, 404, "unknown-product")])
def test_a_path_that_is_too_long_is_a_problem_too(stack: Deployment, query: int, status: int, kind_of_it: str) -> None:
    answer = requests.get(f"{stack.url}/api/products/X?x={'x' * query}", timeout=10)
    assert (answer.status_code, kind(answer)) == (status, kind_of_it)


def test_headers_that_are_too_long_are_a_problem_too(stack: Deployment) -> None:
    answer = requests.get(f"{stack.url}/api/products", headers={"X-Much": "x" * 9_000}, timeout=10)
    assert (answer.status_code, kind(answer)) == (431, "headers-too-large")


UNREADABLE = [
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"\x00\x01\r\n\r\n",
    b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", UNREADABLE)
def test_a_request_that_cannot_be_read_gets_a_problem_that_names_no_version(
    stack: Deployment, request_bytes: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", int(stack.env["FRONT_PORT"])), timeout=5) as connection:
        connection.sendall(request_bytes)
        said = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    assert " 400 " in said.splitlines()[0] or said.startswith("{"), said
    assert "problems/bad-request" in said
    assert not re.search(r"nginx/\d|gunicorn|Werkzeug|Python", said), said


@pytest.mark.feature("F30")
def test_every_cookie_is_out_of_reach_of_scripts_and_other_sites(stack: Deployment) -> None:
    with requests.Session() as browser:
        assert_safe(cookies_of_a_visit(browser, stack.url), secure=False)


def cookies_of_a_visit(browser: requests.Session, url: str) -> list[str]:
    """What the browser is told to keep by looking around, filling a cart, signing up, logging out and in again."""
    person = {"email": f"{new_id()}@sagashop.example", "password": "correct horse battery"}
    answers = [
        browser.get(f"{url}/api/session", timeout=10),
        browser.put(f"{url}/api/cart/lines/MUG-TERRA-01", json={"quantity": 1}, timeout=10),
        browser.post(f"{url}/api/customers", json={"name": "Test Customer", **person}, timeout=10),
        browser.delete(f"{url}/api/session", timeout=10),
        browser.post(f"{url}/api/session", json=person, timeout=10),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 201, 204, 201], [a.text for a in answers]
    return [cookie for answer in answers for cookie in answer.raw.headers.getlist("Set-Cookie")]


def assert_safe(cookies: list[str], *, secure: bool) -> None:
    assert {cookie.partition("=")[0] for cookie in cookies} == {"sagashop_session", "sagashop_cart", "sagashop_visitor"}
    assert len([cookie for cookie in cookies if cookie.startswith("sagashop_session=")]) == 3
    for cookie in cookies:
        attributes = {part.strip() for part in cookie.split(";")[1:]}
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= attributes, cookie
        assert ("Secure" in attributes) is secure, cookie
        assert not any(attribute.startswith("Domain") for attribute in attributes), cookie


def storefront_alone(env: Mapping[str, str]) -> list[Process]:
    return [p for p in table(env) if p.name in {"redis-ledger", "redis-session", "nginx", "storefront-web"}]


@pytest.mark.local("starts a stack of its own without Docker")
@pytest.mark.feature("F50")
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_under_tls_cookies_are_secure_and_plain_http_only_redirects(tmp_path: Path) -> None:
    with (
        Stack(tmp_path, free_settings() | {"TLS": "on"}, processes=storefront_alone) as stack,
        requests.Session() as browser,
    ):
        browser.trust_env = browser.verify = False  # the certificate is self-signed
        assert stack.url.startswith("https://")
        assert_safe(cookies_of_a_visit(browser, stack.url), secure=True)
        assert browser.get(stack.url, timeout=10).headers["Strict-Transport-Security"] == "max-age=86400"
        plain = requests.get(f"http://127.0.0.1:{stack.env['FRONT_PORT']}/api/cart", allow_redirects=False, timeout=10)
        assert plain.status_code == 308
        assert plain.headers["Location"] == f"{stack.url}/api/cart"
        assert plain.headers["Server"] == "nginx"
        assert "Set-Cookie" not in plain.headers
