"""Effects: adding decisions up, applying them in memory, and what Redis is told."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

from sagashop.effects import (
    FOREVER,
    Add,
    Below,
    ClearTimer,
    Command,
    Drop,
    Effects,
    Expect,
    Put,
    Recorded,
    SetTimer,
    apply_to,
)
from sagashop.messages import Message
from sagashop.streams.commit import Keys, compile_effects, packed, seal

pytestmark = pytest.mark.feature("F02")


class Said(Message):
    channel: ClassVar[str] = "toy.events"
    word: str


def test_decisions_add_up_and_leave_their_parts_alone() -> None:
    first, second = Effects([Said("a")], [Drop("k")]), Effects([Said("b")], expect=[Expect("k", "f", 1)])
    both = first + second
    assert both == Effects([Said("a"), Said("b")], [Drop("k")], [Expect("k", "f", 1)])
    assert (first.emitted, second.emitted) == ([Said("a")], [Said("b")])


def test_writes_show_in_the_rows_as_redis_would_return_them() -> None:
    rows = {"a": {"n": "1", "old": "x"}, "b": {"n": "5"}}
    apply_to(
        Effects(write=[Put("a", {"n": 2}), Add("b", "n", -7), Add("c", "n", 3), Drop("a"), Put("a", {"z": "0"})]), rows
    )
    assert rows == {"a": {"z": "0"}, "b": {"n": "-2"}, "c": {"n": "3"}}


def test_recorded_events_and_commands_keep_their_ids_and_plain_messages_get_one() -> None:
    recorded, command = Recorded(Said("x"), "toy:1", 4), Command(Said("x"), "o1.step.Said")
    sealed = [seal(what, service="toy", trace="t", time_ms=5) for what in (recorded, recorded, command, Said("x"))]
    assert [envelope.id for envelope in sealed[:3]] == ["toy:1.4", "toy:1.4", "o1.step.Said"]
    assert (sealed[0].aggregate, sealed[0].sequence, sealed[3].aggregate) == ("toy:1", 4, "")
    assert len(sealed[3].id) == 32


def test_each_key_is_named_once_and_every_guard_comes_before_every_command() -> None:
    effects = Effects(
        emit=[Said("x")],
        write=[
            Put("k", {"a": 1}, ttl_s=FOREVER),
            Add("k", "n", -2, floor=0),
            Put("l", {"b": 1}, ttl_s=9),
            Put("l", {"c": 1}),
            Drop("m"),
        ],
        expect=[Expect("k", "v", None), Expect("k", "v", 3), Below("l", "n", 4)],
        timers=[SetTimer(Said("t"), 1.5), ClearTimer(Said("t"))],
    )
    places = Keys()
    guards, commands = compile_effects(effects, places, service="toy", trace="")
    assert list(places) == ["k", "l", "m", "{0}:toy:events", "{0}:toy:deadlines"]
    assert guards == [(1, "v", "absent"), (1, "v", "is", "3"), (2, "n", "below", "4"), (1, "n", "floor", "-2", "0")]
    names = [name for name, *_ in commands]
    assert names == ["HSET", "PERSIST", "add", "HSET", "EXPIRE", "HSET", "DEL", "XADD", "timer", "timer"]


def test_bytes_that_are_no_text_go_out_as_they_came_in() -> None:
    foreign = b"caf\xe9".decode(errors="surrogateescape")
    assert msgspec.msgpack.decode(packed([("HSET", 1, "name", foreign)])) == [[b"HSET", 1, b"name", b"caf\xe9"]]
