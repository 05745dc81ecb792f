"""What a route takes and answers, declared once: it decodes the request and feeds the OpenAPI document.

    @orders.post("/api/orders")
    @accepts(json=PlaceOrder, answers={202: OrderView}, problems=[StalePrice])
    def place(json: PlaceOrder) -> Answer: ...

Bodies are decoded by msgspec straight into the struct, without spectree's request path. spectree writes the document
from the same declaration (sagashop.web.docs).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec
from flask import request

from sagashop.errors import InvalidRequest, Problem, TooLarge
from sagashop.web import shapes

View = TypeVar("View", bound=Callable[..., Any])
Input = shapes.Input
Answer = Any
"""A struct, `(struct, status)`, `(struct, status, headers)`, or anything else Flask takes."""


class MalformedJson(Problem):
    kind, status, title = "malformed-json", 400, "The body is not JSON"


class UnsupportedMediaType(Problem):
    kind, status, title = "unsupported-media-type", 415, "Send the body as `Content-Type: application/json`"


class Declared(msgspec.Struct, frozen=True):
    """What `accepts` was told about a route."""

    json: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    answers: Mapping[int, Any]
    problems: Sequence[type[Problem]]


def accepts(
    *,
    json: type[msgspec.Struct] | None = None,
    query: type[msgspec.Struct] | None = None,
    answers: Mapping[int, Any] | type | None = None,
    problems: Sequence[type[Problem]] = (),
) -> Callable[[View], View]:
    """Pass the decoded body and query to the view, as keyword arguments `json` and `query`.

    A body may be left out where every field of its struct has a default.

    answers:  the struct of a 200, or structs by status (None for an empty body); for the document only
    problems: the errors this route adds to the usual ones; for the document only

    The request raises:
        TooLarge:             413, the body has over 64 KiB
        UnsupportedMediaType: 415, the body is not declared as JSON
        MalformedJson:        400, it cannot be read as JSON
        InvalidRequest:       422, it does not fit the struct; `errors` names the path
    """
    by_status = answers if isinstance(answers, Mapping) else {200: answers}
    declared = Declared(_strict(json), _strict(query), by_status, tuple(problems))
    readers: dict[str, Callable[[], Any]] = {}
    if json:
        readers["json"] = _body_reader(json)
    if query:
        readers["query"] = _query_reader(query)

    def decorate(view: View) -> View:
        @wraps(view)
        def read_then_view(**path: Any) -> Any:
            return view(**path, **{name: read() for name, read in readers.items()})

        read_then_view.declared = declared  # type: ignore[attr-defined]
        return read_then_view  # type: ignore[return-value]

    return decorate


def invalid(path: str, message: str) -> InvalidRequest:
    """The error for one field that fits its type but not the rules, in the same form as a failed decoding."""
    return InvalidRequest(f"{path}: {message}" if path else message, errors=[{"path": path, "message": message}])


def _strict(struct: type[msgspec.Struct] | None) -> type[msgspec.Struct] | None:
    if struct and not struct.__struct_config__.forbid_unknown_fields:
        raise TypeError(f"{struct.__name__} would ignore unknown fields; derive it from sagashop.web.inputs.Input")
    return struct


def _body_reader(struct: type[msgspec.Struct]) -> Callable[[], Any]:
    decode = msgspec.json.Decoder(struct).decode
    optional = not any(field.required for field in msgspec.structs.fields(struct))

    def read() -> Any:
        if optional and not request.content_length and not request.get_data():
            return struct()
        if request.mimetype != "application/json":
            raise UnsupportedMediaType
        body = request.get_data(cache=False)
        if request.content_length is None and len(body) == request.max_content_length:
            raise TooLarge  # a chunked body: werkzeug cuts it off at the limit and says nothing
        try:
            return decode(body)
        except msgspec.ValidationError as wrong:
            raise _explained(wrong) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as wrong:
            raise MalformedJson(str(wrong)) from None

    return read


def _query_reader(struct: type[msgspec.Struct]) -> Callable[[], Any]:
    msgspec.json.Decoder(struct)  # an annotation that msgspec cannot read fails here, at start
    hints = get_type_hints(struct)
    repeated = {name for name, hint in hints.items() if get_origin(hint) in {list, tuple}}

    def read() -> Any:
        given = {
            name: values if name in repeated or len(values) > 1 else values[0] for name, values in request.args.lists()
        }
        try:
            return msgspec.convert(given, struct, strict=False)
        except msgspec.ValidationError as wrong:
            raise _explained(wrong) from None

    return read


_place = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_field = re.compile(r"(?:missing required|contains unknown) field `(?P<field>[^`]*)`")


def _explained(wrong: msgspec.ValidationError) -> InvalidRequest:
    """msgspec says "Expected `int`, got `str` - at `$.lines[0].quantity`"; we answer with the path beside the words."""
    text = str(wrong)
    place, named = _place.search(text), _field.search(text)
    path = ".".join(part for part in (place and place["path"], named and named["field"]) if part)
    return invalid(path, _place.sub("", text))
