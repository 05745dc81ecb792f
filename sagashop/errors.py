"""One tree of errors. Each that may reach a client knows its problem type (RFC 9457) and its HTTP status."""

from __future__ import annotations

from typing import Any, ClassVar


class SagashopError(Exception):
    """Base of all errors of ours."""


class MalformedMessage(SagashopError):
    """A message that cannot be read: a field is missing, the type is unknown, or the data does not fit."""


class NotReachable(SagashopError):
    """A server does not answer. The text says which, where, and what to do next."""


class Problem(SagashopError):
    """An error answered as `application/problem+json`.

    kind:   the last part of the problem's `type`, `https://sagashop.example/problems/<kind>`
    status: HTTP status
    detail: this occurrence, for the person who reads it
    extra:  further members of the answer, for programs
    """

    kind: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str = "", *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = headers or {}
        self.extra = extra


class InvalidRequest(Problem):
    kind, status, title = "invalid-request", 422, "The request does not have the form this endpoint takes"


class NotLoggedIn(Problem):
    kind, status, title = "not-logged-in", 401, "Log in first"


class Forbidden(Problem):
    kind, status, title = "forbidden", 403, "You may not do this"


class NotFound(Problem):
    kind, status, title = "not-found", 404, "There is nothing here"


class Conflict(Problem):
    kind, status, title = "conflict", 409, "The state has changed in the meantime"


class TooLarge(Problem):
    kind, status, title = "too-large", 413, "The request is too large"


class Unavailable(Problem):
    """A server we need does not answer, or is full. The client may try again, with the same idempotency key."""

    kind, status, title = "unavailable", 503, "Not available right now"

    def __init__(self, detail: str = "", *, retry_after_s: int = 2, **extra: Any) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)}, **extra)
