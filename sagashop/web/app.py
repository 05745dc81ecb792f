"""The Flask application every service uses: errors, request ids, the access log, health, documentation."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog
from flask import Blueprint, Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars

from sagashop import log as logs
from sagashop.errors import Problem, Unavailable
from sagashop.sessions import Sessions
from sagashop.settings import Settings
from sagashop.web import auth, docs, problems

MAX_BODY_BYTES = 64 * 1024
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEALTH_PATHS = frozenset({"/livez", "/readyz"})

log = structlog.get_logger()

_good_id = re.compile(r"[A-Za-z0-9._-]{1,64}")
_good_trace = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_encode = msgspec.json.Encoder().encode


class CrossOrigin(Problem):
    kind, status, title = "cross-origin", 403, "Another site may not do this in your name"


class App(Flask):
    """Flask whose views may return structs: `return order`, or `return order, 202, {"Location": …}`."""

    def make_response(self, rv: Any) -> Response:
        body, rest = (rv[0], rv[1:]) if isinstance(rv, tuple) else (rv, ())
        if isinstance(body, msgspec.Struct | dict | list):
            body = Response(_encode(body), mimetype="application/json")
        return super().make_response((body, *rest) if rest else body)


def create_app(
    service: str,
    settings: Settings,
    *,
    blueprints: Iterable[Blueprint],
    checks: Mapping[str, Callable[[], None]],
    sessions: Sessions | None,
) -> Flask:
    """The web process of one service. Nothing connects before the first request.

    checks:   what must answer before traffic comes, by name; a check raises where it does not
    sessions: who is logged in (sagashop.web.auth); None for a service that never asks
    """
    logs.configure(service, settings.log_level, settings.log_format)
    app = App(service, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    auth.install(app, sessions, settings)
    problems.install(app)
    app.before_request(_open_request)
    app.before_request(refuse_cross_origin)
    app.after_request(_close_request)
    app.teardown_request(lambda _: clear_contextvars())  # the thread serves another request next
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.add_url_rule("/livez", view_func=_live)
    app.add_url_rule("/readyz", "readyz", lambda: _ready(checks))
    docs.install(app, service)
    return app


def refuse_cross_origin() -> None:
    """Refuse what a page of another site sends with our visitor's cookie. Programs send neither header and pass.

    Raises:
        CrossOrigin: an unsafe method, and the browser says that the request comes from elsewhere
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise CrossOrigin
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise CrossOrigin


def _open_request() -> None:
    g.started = time.perf_counter()
    given_id, given_trace = request.headers.get("X-Request-ID", ""), request.headers.get("traceparent", "")
    request_id = given_id if _good_id.fullmatch(given_id) else secrets.token_hex(16)
    trace = given_trace if _good_trace.fullmatch(given_trace) else _new_trace()
    g.request_id = request_id
    bind_contextvars(request_id=request_id, trace=trace)


def _new_trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def _close_request(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-ID"] = g.request_id
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if request.path not in HEALTH_PATHS:
        log.info(
            "http.request",
            method=request.method,
            path=request.path,  # without the query, which may hold what is nobody's business
            status=response.status_code,
            duration_ms=round((time.perf_counter() - g.started) * 1000, 2),
        )
    return response


def _live() -> dict[str, str]:
    return {"status": "ok"}


def _ready(checks: Mapping[str, Callable[[], None]]) -> dict[str, Any]:
    results = {name: _outcome(check) for name, check in checks.items()}
    if any(result != "ok" for result in results.values()):
        raise Unavailable("Not ready.", checks=results)
    return {"status": "ok", "checks": results}


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as why:  # whatever it is, the process is not ready
        return str(why) or type(why).__name__
    return "ok"
