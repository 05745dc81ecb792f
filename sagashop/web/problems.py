"""Every error leaves as `application/problem+json` (RFC 9457), from one mapper."""

from __future__ import annotations

import sys

import redis
import structlog
from flask import Flask, Response
from msgspec import json
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from sagashop import log as logs
from sagashop.errors import NotReachable, Problem, TooLarge, Unavailable

TYPE_PREFIX = "https://sagashop.example/problems/"

log = structlog.get_logger()

SERVER_GONE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    NotReachable,
)
"""A server we need is down, full or silent: 503, and the client may try again."""


def install(app: Flask) -> None:
    """Answer every error of this app as a problem."""
    app.register_error_handler(Problem, respond)
    app.register_error_handler(HTTPException, _from_http)
    for error in (*SERVER_GONE, *_database_gone()):
        app.register_error_handler(error, _from_server)
    app.register_error_handler(Exception, _from_bug)


def respond(problem: Problem) -> Response:
    """The answer for a problem."""
    return _response(problem.kind, problem.status, problem.title, problem.detail, problem.headers, **problem.extra)


def _database_gone() -> tuple[type[Exception], ...]:
    """The same of a database. A service that has none does not load the library of the others for its errors."""
    sql = sys.modules.get("sagashop.sql")
    return sql.GONE if sql else ()


def _response(kind: str, status: int, title: str, detail: str, headers: dict[str, str], **extra: object) -> Response:
    body = {"type": TYPE_PREFIX + kind, "title": title, "status": status}
    if detail:
        body["detail"] = detail
    body["request_id"] = logs.current("request_id")
    return Response(json.encode(body | extra), status, headers, mimetype="application/problem+json")


def _from_http(error: HTTPException) -> BaseResponse:
    """What Flask itself refuses: an unknown path is `not-found`, a wrong method is `method-not-allowed`."""
    status = error.code or 500
    if status == TooLarge.status:
        return respond(TooLarge("A body may have 64 KiB."))
    if error.response is not None or status < 400:  # a redirect answers for itself
        return error.get_response()
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return _response(error.name.lower().replace(" ", "-"), status, error.name, error.description or "", headers)


def _from_server(error: Exception) -> Response:
    # Whether a write was carried out before the connection broke is not known; the answer must not claim either.
    log.warning("server.unavailable", error=type(error).__name__, reason=str(error))
    return respond(Unavailable("A server we need does not answer. Try again; a repeated request takes effect once."))


def _from_bug(error: Exception) -> Response:
    log.error("request.failed", exc_info=error)
    return respond(Problem(f"Quote the request id {logs.current('request_id')} when you report this."))
