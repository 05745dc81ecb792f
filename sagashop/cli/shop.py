"""The shop's HTTP API as a Python object, for the command line and for tests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import requests

from sagashop.errors import NotReachable, SagashopError

TIMEOUT_S = (3.0, 15.0)
PATIENCE_S = 20.0
BUSY = (429, 503)


class Refused(SagashopError):
    """The shop answered with a problem. `problem` is the whole document, `status` the HTTP status."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        text = problem.get("detail") or problem.get("title") or "no details"
        super().__init__(f"the shop answered {status}: {text}")
        self.status, self.problem = status, problem

    @property
    def kind(self) -> str:
        """The last part of the problem's type, for example `price-changed`."""
        return str(self.problem.get("type", "")).rsplit("/", 1)[-1]


class Shop:
    """One visitor with cookies of its own. Not for several threads at once."""

    def __init__(self, url: str, *, verify: bool = False) -> None:
        self.url, self.session = url, requests.Session()
        self.session.verify = verify  # a local stack's certificate is self-signed
        self.session.headers["User-Agent"] = "sagashop"

    def log_in(self, email: str, password: str) -> Shop:
        self.post("/api/session", {"email": email, "password": password})
        return self

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, json={} if body is None else body, headers=headers)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        return self.call("DELETE", path)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of the answer. A busy shop (429, 503) is asked again when it says, for up to 20 s.

        The shop does nothing when it answers so, which is why a repetition is safe for every method.

        Raises:
            Refused: the shop answered with a problem.
            NotReachable: nobody answers there.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self.send(method, path, **options)
            except requests.exceptions.ChunkedEncodingError as cut:  # who answered died in the middle of it
                if not _repeatable(method, options) or time.monotonic() > deadline:
                    raise NotReachable(f"the shop at {self.url} broke off in the middle of its answer") from cut
                continue
            wait_s = float(answer.headers.get("Retry-After", "0.5"))
            if answer.status_code not in BUSY or time.monotonic() + wait_s > deadline:
                break
            time.sleep(wait_s)
        if answer.status_code >= 400:
            raise Refused(answer.status_code, _problem(answer))
        return answer.json() if answer.content else None

    def body(self, path: str, *, read_timeout_s: float) -> bytes:
        """The body of a long answer as it is.

        Raises: as `call`
        """
        answer = self.send("GET", path, timeout=(TIMEOUT_S[0], read_timeout_s))
        if answer.status_code >= 400:
            raise Refused(answer.status_code, _problem(answer))
        return answer.content

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request, whatever comes back."""
        try:
            return self.session.request(method, self.url + path, **{"timeout": TIMEOUT_S, **options})
        except requests.ConnectionError as error:
            raise NotReachable(
                f"cannot reach the shop at {self.url}.\n"
                "  The stack is probably not running. Start it with `make up`, or name another place with --url."
            ) from error
        except requests.Timeout as error:
            raise NotReachable(
                f"the shop at {self.url} did not answer in time: see `make ps` and `make logs`"
            ) from error

    def events(self, order_id: str, *, read_timeout_s: float = 60.0) -> Iterator[tuple[str, dict[str, Any]]]:
        """An order's events as they happen, (name, data); ends when the server ends the stream."""
        path = f"/api/orders/{order_id}/events"
        with self.send("GET", path, stream=True, timeout=(TIMEOUT_S[0], read_timeout_s)) as answer:
            if answer.status_code >= 400:
                raise Refused(answer.status_code, _problem(answer))
            yield from _server_sent(answer.iter_lines(decode_unicode=True))


def _repeatable(method: str, options: dict[str, Any]) -> bool:
    return method != "POST" or "Idempotency-Key" in options.get("headers", {})


def _server_sent(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name, data = "message", ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not line and data:
            yield name, json.loads(data)
            name, data = "message", ""


def _problem(answer: requests.Response) -> dict[str, Any]:
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        return {"title": answer.reason}
    return problem
