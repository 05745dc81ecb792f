"""Registering handlers, and what they are given."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from sagashop.effects import Effects, Rows
from sagashop.handlers import Handlers
from sagashop.messages import Envelope, Message


class Hello(Message):
    channel: ClassVar[str] = "b.events"
    name: str


class Bye(Message):
    channel: ClassVar[str] = "a.events"
    name: str


def handlers() -> Handlers:
    return Handlers(keys=lambda m: [m.name], view=lambda m, rows: rows.get(m.name, {}))


def test_a_handler_gets_the_bare_message_and_its_view_of_the_rows() -> None:
    toy, seen = handlers(), []

    @toy.on(Hello)
    def hello(message: Hello, row: dict[str, str]) -> Effects:
        seen.append((message, row))
        return Effects()

    rows: Rows = {"x": {"n": "1"}}
    toy.decide(Envelope(message=Hello("x"), id="1", time_ms=1, producer="p"), rows)
    assert hello(Hello("x"), {"n": "1"}) == toy.decide(Hello("x"), rows) == Effects()
    assert seen == [(Hello("x"), {"n": "1"})] * 3


def test_a_handler_may_ask_for_the_envelope() -> None:
    toy, seen = handlers(), []

    @toy.on(Hello, with_envelope=True)
    def hello(envelope: Envelope, row: dict[str, str]) -> Effects:
        seen.append((envelope, row))
        return Effects()

    envelope = Envelope(message=Hello("x"), id="1", time_ms=1, producer="p")
    assert toy.decide(envelope, {}) == hello(envelope, {})
    assert seen == [(envelope, {})] * 2


def test_a_message_handled_twice_is_an_error_at_start() -> None:
    toy = handlers()
    nothing: Any = lambda *_: Effects()  # noqa: E731
    toy.on(Hello)(nothing)
    with pytest.raises(ValueError, match="Hello is handled twice"):
        toy.on(Bye, Hello)(nothing)


def test_each_channel_is_read_once() -> None:
    toy = handlers()
    toy.on(Hello, Bye)(lambda *_: Effects())
    assert toy.channels == ["a.events", "b.events"]
    assert "Hello" in toy.catalogue
