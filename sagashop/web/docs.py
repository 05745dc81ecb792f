"""The OpenAPI document of a service at /docs/<service>/openapi.json, and Swagger UI for it at /docs/<service>/.

The page loads its scripts from the front door's /vendor/, and has none inline, so that `script-src 'self'` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Annotated, Any

import msgspec
from flask import Flask, Response
from spectree import Response as Answers
from spectree import SpecTree
from spectree.model_adapter.msgspec_adapter import MsgspecModelAdapter
from spectree.plugins.flask_plugin import FlaskPlugin

import sagashop.errors as e
from sagashop.web.inputs import Declared, MalformedJson, UnsupportedMediaType

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{service} – API</title>
<link rel="stylesheet" href="/vendor/swagger-ui/swagger-ui.css">
<link rel="icon" href="data:,">
<div id="swagger-ui" data-url="/docs/{service}/openapi.json"></div>
<script src="/vendor/swagger-ui/swagger-ui-bundle.js"></script>
<script src="/docs.js"></script>
</html>
"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
)


class ProblemDocument(msgspec.Struct):
    """An error (RFC 9457). `type` ends in its kind; `errors` names fields where the request does not fit."""

    type: str
    title: str
    status: int
    request_id: str
    detail: str | None = None
    errors: Annotated[list[dict[str, str]] | None, msgspec.Meta(description="path and message of each field")] = None


def install(app: Flask, service: str) -> None:
    """Add the document and its page. The document is written at the first request for it."""
    document = cache(lambda: msgspec.json.encode(openapi(app, service)))
    page = PAGE.format(service=service)
    app.add_url_rule(
        f"/docs/{service}/openapi.json", "openapi", lambda: Response(document(), mimetype="application/json")
    )
    app.add_url_rule(f"/docs/{service}/", "docs", lambda: Response(page, headers={"Content-Security-Policy": POLICY}))


def openapi(app: Flask, service: str) -> dict[str, Any]:
    """The document, from what the routes declare with `accepts`."""
    schemas: Any = _Schemas()
    tree = SpecTree(
        backend=_Routes,
        model_adapter=schemas,
        naming_strategy=lambda struct: struct.__name__,
        nested_naming_strategy=lambda _, struct: struct,
        title=f"Sagashop {service}",
        path=f"docs/{service}",
        mode="strict",
        annotations=False,
    )
    with app.app_context():
        document: dict[str, Any] = tree.spec
    for operations in document["paths"].values():
        for operation in operations.values():
            _mark_problems(operation["responses"])
    return document


def _mark_problems(responses: dict[str, Any]) -> None:
    """spectree knows JSON only; an error's media type is its own."""
    for status, response in responses.items():
        if status >= "400":
            response["content"] = {"application/problem+json": response["content"]["application/json"]}


def _anything(_: type) -> dict[str, str]:
    return {"description": "any value"}


class _Schemas(MsgspecModelAdapter):
    """spectree's own, and `object` (any value), for which msgspec has no schema by itself."""

    def json_schema(self, model: Any, *, ref_template: str, mode: Any = "validation") -> dict[str, Any]:
        template = ref_template.replace("{model}", "{name}")
        (schema,), parts = msgspec.json.schema_components((model,), schema_hook=_anything, ref_template=template)
        own = [name for name in parts if schema.get("$ref") == template.format(name=name)]
        root = parts.pop(own[0]) if own else schema
        return {**root, "$defs": parts} if parts else root


class _Routes(FlaskPlugin):
    """Hands spectree the declared routes, without wrapping what runs."""

    def parse_func(self, route: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
        for method, view in super().parse_func(route):
            if declared := getattr(view, "declared", None):
                yield method, self._described(view, declared)

    def _described(self, view: Callable[..., Any], declared: Declared) -> Callable[..., Any]:
        describe = self.spectree.validate(
            json=declared.json, query=declared.query, resp=_answers(declared), tags=[self.config.title.split()[-1]]
        )
        wrapped: Callable[..., Any] = describe(view)
        return wrapped


def _answers(declared: Declared) -> Answers:
    good = {f"HTTP_{status}": struct for status, struct in declared.answers.items()}
    kinds: dict[int, list[str]] = {}
    for problem in _problems(declared):
        kinds.setdefault(problem.status, []).append(problem.kind)
    bad = {f"HTTP_{status}": (ProblemDocument, ", ".join(names)) for status, names in sorted(kinds.items())}
    return Answers(**good, **bad)


def _problems(declared: Declared) -> Sequence[type[e.Problem]]:
    body = (MalformedJson, UnsupportedMediaType, e.TooLarge) if declared.json else ()
    fields = (e.InvalidRequest,) if declared.json or declared.query else ()
    return (*body, *fields, *declared.problems, e.Unavailable)
