"""What the web layer does with requests: bodies, queries, errors, ids. No server, no Redis."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import redis
from flask import Blueprint
from structlog.testing import capture_logs

from sagashop import log, pages, sql
from sagashop.errors import Conflict, NotReachable
from sagashop.settings import Settings
from sagashop.web.app import create_app
from sagashop.web.inputs import Answer, Input, accepts, invalid

WEB = Path(__file__).parents[2] / "web"
TERMINATED = {"wsgi.input_terminated": True}  # what gunicorn says
PROBLEM = "https://sagashop.example/problems/"


class Line(Input, frozen=True):
    sku: str
    quantity: Annotated[int, msgspec.Meta(ge=1, le=99)]


class Basket(Input, frozen=True):
    lines: list[Line]
    note: dict[str, object] = msgspec.field(default_factory=dict)


class Search(pages.Paging, frozen=True):
    sku: list[str] = msgspec.field(default_factory=list)
    on_sale: bool | None = None


class Count(msgspec.Struct):
    """How many lines there were."""

    lines: int


class StalePrice(Conflict):
    kind, title = "stale-price", "The price has changed"


def demo() -> Blueprint:
    routes = Blueprint("demo", __name__)

    @routes.post("/api/baskets")
    @accepts(json=Basket, answers={202: Count}, problems=[StalePrice])
    def place(json: Basket) -> Answer:
        """Put a basket down."""
        if json.lines[0].sku == "OLD":
            raise StalePrice("A mug costs more now.", price_cents=900)
        if json.lines[0].sku == "??":
            raise invalid("lines[0].sku", "no such product")
        return Count(len(json.lines)), 202, {"Location": "/api/baskets/1"}

    @routes.get("/api/search")
    @accepts(query=Search)
    def search(query: Search) -> Answer:
        return {"limit": query.limit, "sku": query.sku, "on_sale": query.on_sale, "trace": log.current("trace")}

    @routes.get("/api/broken/<how>")
    def broken(how: str) -> Answer:
        raise {
            "redis": redis.ConnectionError("gone"),
            "full": redis.exceptions.OutOfMemoryError("OOM"),
            "sql": sql.GONE[0]("SELECT", {}, Exception("locked")),
            "bug": ValueError("the password is hunter2"),
        }[how]

    return routes


def application(checks: dict[str, Callable[[], None]] | None = None) -> Any:
    return create_app("demo", Settings(), blueprints=[demo()], checks=checks or {}, sessions=None).test_client()


@pytest.fixture
def web() -> Any:
    return application()


def place(web: Any, sku: str = "MUG", quantity: object = 1, **more: object) -> Any:
    return web.post("/api/baskets", json={"lines": [{"sku": sku, "quantity": quantity}], **more})


def kind(response: Any) -> str:
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == response.status_code
    return str(response.json["type"]).removeprefix(PROBLEM)


def test_a_fitting_body_reaches_the_view_and_its_struct_comes_back_as_json(web: Any) -> None:
    response = place(web)
    assert (response.status_code, response.json, response.headers["Location"]) == (202, {"lines": 1}, "/api/baskets/1")
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"lines": [{"sku": "MUG", "quantity": 0}]}, "lines[0].quantity"),
        ({"lines": [{"sku": "MUG", "quantity": "two"}]}, "lines[0].quantity"),
        ({"lines": [{"sku": "MUG", "quantity": 10**30}]}, "lines[0].quantity"),
        ({"lines": [{"quantity": 1}]}, "lines[0].sku"),
        ({"lines": [], "coupon": "X"}, "coupon"),
        ({"lines": [{"sku": "MUG", "quantity": 1, "price_cents": 1}]}, "lines[0].price_cents"),
        ({}, "lines"),
        ([], ""),
    ],
)
def test_a_body_that_does_not_fit_is_answered_with_the_path_of_the_field(web: Any, body: object, path: str) -> None:
    response = web.post("/api/baskets", json=body)
    assert (response.status_code, kind(response)) == (422, "invalid-request")
    assert [error["path"] for error in response.json["errors"]] == [path]
    assert response.json["errors"][0]["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"lines": [,]}', b"\xff\xfe", b'{"lines": [], "note": {"a": ' + b"[" * 30_000]
)
def test_what_is_not_json_is_malformed(web: Any, body: bytes) -> None:
    response = web.post("/api/baskets", data=body, content_type="application/json")
    assert (response.status_code, kind(response)) == (400, "malformed-json")


def test_very_deep_json_is_refused_without_harm(web: Any) -> None:
    deep = b'{"lines": [], "note": {"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
    response = web.post("/api/baskets", data=deep, content_type="application/json")
    assert (response.status_code, kind(response)) == (400, "malformed-json")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_declared_as_json_is_415(web: Any, content_type: str) -> None:
    response = web.post("/api/baskets", data=b'{"lines": []}', content_type=content_type)
    assert (response.status_code, kind(response)) == (415, "unsupported-media-type")


def test_a_body_over_64_kib_is_too_large(web: Any) -> None:
    response = place(web, note={"x": "y" * 65_536})
    assert (response.status_code, kind(response)) == (413, "too-large")


def test_a_chunked_body_over_64_kib_is_too_large_as_well(web: Any) -> None:
    body = io.BytesIO(b'{"lines": []}' + b" " * 65_536)
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    response = web.post("/api/baskets", input_stream=body, headers=headers, environ_overrides=TERMINATED)
    assert (response.status_code, kind(response)) == (413, "too-large")


def test_a_query_is_converted_and_repeated_names_become_a_list(web: Any) -> None:
    assert web.get("/api/search?limit=7&sku=A&sku=B&on_sale=true").json | {"trace": ""} == {
        "limit": 7,
        "sku": ["A", "B"],
        "on_sale": True,
        "trace": "",
    }
    assert web.get("/api/search?sku=A").json["sku"] == ["A"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1&limit=2", "page=2", "limit="])
def test_a_query_that_does_not_fit_names_its_parameter(web: Any, query: str) -> None:
    response = web.get(f"/api/search?{query}")
    assert (response.status_code, kind(response)) == (422, "invalid-request")
    assert response.json["errors"][0]["path"] == query.partition("=")[0]


def test_a_rule_of_the_service_is_answered_like_a_failed_decoding(web: Any) -> None:
    response = place(web, sku="??")
    assert response.json["errors"] == [{"path": "lines[0].sku", "message": "no such product"}]


def test_a_problem_carries_its_kind_detail_and_what_programs_need(web: Any) -> None:
    response = place(web, sku="OLD")
    assert (response.status_code, kind(response)) == (409, "stale-price")
    assert (response.json["detail"], response.json["price_cents"]) == ("A mug costs more now.", 900)


def test_unknown_paths_and_methods_are_problems_too(web: Any) -> None:
    assert kind(web.get("/api/nowhere")) == "not-found"
    wrong = web.delete("/api/baskets")
    assert (kind(wrong), "POST" in wrong.headers["Allow"]) == ("method-not-allowed", True)


@pytest.mark.parametrize("how", ["redis", "full", "sql"])
def test_a_server_that_is_away_is_503_with_retry_after(web: Any, how: str) -> None:
    response = web.get(f"/api/broken/{how}")
    assert (response.status_code, kind(response)) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


def test_a_bug_is_500_logged_and_tells_the_client_nothing_but_the_request_id(web: Any) -> None:
    with capture_logs() as logs:
        response = web.get("/api/broken/bug", headers={"X-Request-ID": "abc-1"})
    assert (response.status_code, kind(response)) == (500, "internal")
    assert "hunter2" not in response.text
    assert response.json["request_id"] == "abc-1"
    assert [line["log_level"] for line in logs if line["event"] == "request.failed"] == ["error"]


def test_a_request_id_is_kept_when_it_is_clean_and_replaced_when_it_is_not(web: Any) -> None:
    assert web.get("/livez", headers={"X-Request-ID": "ok-1"}).headers["X-Request-ID"] == "ok-1"
    made = [web.get("/livez", headers={"X-Request-ID": "x" * 65}).headers["X-Request-ID"] for _ in range(2)]
    assert len({*made, "x" * 65}) == 3


def test_a_trace_is_taken_over_from_the_caller_and_made_up_without_one(web: Any) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert web.get("/api/search", headers={"traceparent": trace}).json["trace"] == trace
    assert web.get("/api/search", headers={"traceparent": "nonsense"}).json["trace"].startswith("00-")


def test_each_request_is_one_log_line_without_its_query(web: Any) -> None:
    with capture_logs() as logs:
        web.get("/api/search?sku=secret", headers={"Cookie": "sagashop_session=secret"})
        web.get("/livez")
    (line,) = logs
    assert (line["event"], line["method"], line["path"], line["status"]) == ("http.request", "GET", "/api/search", 200)
    assert line["duration_ms"] >= 0
    assert "secret" not in str(line)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "none"}, 202),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost"}, 202),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_a_page_of_another_site_cannot_write(web: Any, headers: dict[str, str], status: int) -> None:
    body = {"lines": [{"sku": "MUG", "quantity": 1}]}
    response = web.post("/api/baskets", json=body, headers=headers)
    assert response.status_code == status
    assert status == 202 or kind(response) == "cross-origin"


def test_a_page_of_another_site_may_read(web: Any) -> None:
    assert web.get("/api/search", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_ready_only_when_every_check_passes() -> None:
    def down() -> None:
        raise NotReachable("cannot reach redis-ledger")

    assert application({"sql": lambda: None}).get("/readyz").json["checks"] == {"sql": "ok"}
    not_ready = application({"sql": lambda: None, "redis-ledger": down}).get("/readyz")
    assert (not_ready.status_code, kind(not_ready)) == (503, "unavailable")
    assert not_ready.json["checks"] == {"sql": "ok", "redis-ledger": "cannot reach redis-ledger"}


def test_a_struct_that_would_ignore_unknown_fields_is_refused_at_start() -> None:
    with pytest.raises(TypeError, match="derive it from"):
        accepts(json=Count)


@pytest.mark.feature("F54")
def test_the_openapi_document_says_what_the_routes_take_and_answer(web: Any) -> None:
    document = web.get("/docs/demo/openapi.json").json
    place = document["paths"]["/api/baskets"]["post"]
    assert place["summary"] == "Put a basket down."
    assert place["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Basket"}
    assert set(place["responses"]) == {"202", "400", "409", "413", "415", "422", "503"}
    assert place["responses"]["409"]["description"] == "stale-price"
    assert set(place["responses"]["409"]["content"]) == {"application/problem+json"}
    quantity = document["components"]["schemas"]["Line"]["properties"]["quantity"]
    assert (quantity["minimum"], quantity["maximum"]) == (1, 99)
    parameters = {p["name"]: p for p in document["paths"]["/api/search"]["get"]["parameters"]}
    assert parameters["limit"]["schema"]["maximum"] == 100


@pytest.mark.feature("F54")
def test_the_documentation_page_has_no_inline_script(web: Any) -> None:
    page = web.get("/docs/demo/")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert page.text.count("<script") == page.text.count("<script src=") == 2
    needed = re.findall(r'(?:src|href)="/(.+?)"', page.text)
    assert [path for path in needed if not (WEB / path).is_file()] == []
    assert len(needed) == 3


def test_a_path_without_its_last_slash_is_redirected(web: Any) -> None:
    response = web.get("/docs/demo")
    assert (response.status_code, response.headers["Location"]) == (308, "http://localhost/docs/demo/")
