"""Effects as one Lua call: state, messages, timers and the acknowledgement take hold together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import NoScriptError

from sagashop import keys
from sagashop.batch import MARK
from sagashop.effects import (
    FOREVER,
    Add,
    Command,
    Drop,
    Effects,
    Enlist,
    Expect,
    Put,
    Recorded,
    SetTimer,
    Strike,
    Write,
)
from sagashop.jobs.job import enqueueing
from sagashop.messages import Envelope, Message, encode, new_id, now_ms

if TYPE_CHECKING:
    from redis import Redis

ALREADY, CONFLICT, FULL = "ALREADY", "CONFLICT", "FULL"
Words = tuple[str | int, ...]
"""A guard or a command; whole numbers in it are places of keys."""
Compiled = tuple[list[Words], list[Words]]
"""Guards and commands."""


def lua(name: str, *, using: str = "", package: str = "sagashop.streams") -> str:
    """The text of a script file; the functions of another one come in behind its first line."""
    folder = resources.files(package)
    first, rest = folder.joinpath(name).read_text().split("\n", 1)
    return "\n".join([first, folder.joinpath(using).read_text() if using else "", rest])


class Keys:
    """The keys of one script call, each named once; a key is told by its place, from 1."""

    def __init__(self, *first: str) -> None:
        self._places = {key: place for place, key in enumerate(first, 1)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def place(self, key: str) -> int:
        return self._places.setdefault(key, len(self._places) + 1)


Outlet = Callable[[str, Envelope], tuple[str, dict[str, str]]]
"""Where a service puts a message, and how: the stream, and the wire fields."""


def straight(service: str, envelope: Envelope) -> tuple[str, dict[str, str]]:
    """Onto the stream of its channel, where its readers find it."""
    return keys.stream(envelope.message.channel), envelope.fields()


def compile_effects(effects: Effects, places: Keys, *, service: str, trace: str, outlet: Outlet = straight) -> Compiled:
    """Effects as guards and commands for apply.lua, all of it text; a key is told by its place."""
    now, place, guards, commands = now_ms(), places.place, list[Words](), list[Words]()
    for expected in effects.expect:
        match expected:
            case Expect(key, field, None):
                guards.append((place(key), field, "absent"))
            case Expect(key, field, value):
                guards.append((place(key), field, "is", str(value)))
            case below:
                guards.append((place(below.key), below.field, "below", str(below.limit)))
    for write in effects.write:
        if isinstance(write, Add) and write.floor is not None:
            guards.append((place(write.key), write.field, "floor", str(write.by), str(write.floor)))
        commands += _written(write, place(write.key), now)
    for emission in effects.emit:
        envelope = seal(emission, service=service, trace=trace, time_ms=now)
        commands.append(append(outlet, service, envelope, places))
    for timer in effects.timers:
        member = f"{type(timer.message).__name__} {encode(timer.message)}"
        if isinstance(timer, SetTimer):
            due = str(now + int(timer.after_s * 1000))
            commands.append(("timer", place(keys.deadlines(service)), member, due))
        else:
            commands.append(("timer", place(keys.deadlines(service)), member))
    jobs = (words for job in effects.jobs for words in enqueueing(service, job, now))
    commands += [(name, place(key), *arguments) for name, key, *arguments in jobs]
    return guards, commands


def _written(write: Write, key: int, now: int) -> Iterator[Words]:
    match write:
        case Put(_, fields, ttl_s):
            yield "HSET", key, *[str(part) for pair in fields.items() for part in pair]
            if ttl_s is not None:
                yield ("PERSIST", key) if ttl_s == FOREVER else ("EXPIRE", key, str(ttl_s))
        case Add(_, field, by):
            yield "add", key, field, str(by)
        case Drop():
            yield "DEL", key
        case Enlist(_, member, keep_s):
            yield "ZREMRANGEBYSCORE", key, "-inf", str(now - keep_s * 1000)
            yield "ZADD", key, str(now), member
        case Strike(_, member):
            yield "ZREM", key, member


def append(outlet: Outlet, service: str, envelope: Envelope, places: Keys) -> Words:
    """The command that adds a message to the stream where this service puts it."""
    stream, fields = outlet(service, envelope)
    return "XADD", places.place(stream), "*", *[part for pair in fields.items() for part in pair]


def packed(value: object) -> bytes:
    """What a script unpacks: one argument instead of thousands, which Redis would parse and hand to Lua one by one."""
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:  # bytes that are no text came in so (see `redis_clients`), and go out so
        return msgspec.msgpack.encode(_escaped(value))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="surrogateescape")
    return [_escaped(part) for part in value] if isinstance(value, list | tuple) else value


def seal(emission: Message | Recorded | Command, *, service: str, trace: str, time_ms: int) -> Envelope:
    """Put a message into its envelope. Recorded events and commands have ids that a repetition would share."""
    match emission:
        case Recorded(message, aggregate, sequence):
            return Envelope(
                message=message, id=f"{aggregate}.{sequence}", time_ms=time_ms, producer=service, trace=trace,
                aggregate=aggregate, sequence=sequence,
            )  # fmt: skip
        case Command(message, command_id):
            return Envelope(message=message, id=command_id, time_ms=time_ms, producer=service, trace=trace)
        case _:
            return Envelope(message=emission, id=new_id(), time_ms=time_ms, producer=service, trace=trace)


def _own_scripts() -> Mapping[str, str]:
    return {
        "commit": lua("commit.lua", using="apply.lua"),
        "admit": lua("admit.lua", using="apply.lua"),
        "fenced": lua("fenced.lua", using="apply.lua"),
        "finish": lua("finish.lua", using="apply.lua"),
        **{name: lua(f"{name}.lua") for name in ("dead", "buried", "replay", "due", "trim")},
    }


class Scripts:
    """Scripts on one server, by default those of the streams. Each has its fence, so a call may be repeated after a
    lost reply.
    """

    def __init__(self, redis: Redis, text: Mapping[str, str] | None = None) -> None:
        self._redis, self._text = redis, text or _own_scripts()
        self._sha: dict[str, str] = {}

    def load(self) -> None:
        """Load all scripts, one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for text in self._text.values():
            pipe.script_load(text)
        self._sha = dict(zip(self._text, pipe.execute(), strict=True))

    def run(self, name: str, call_keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run one script; loaded again where the server restarted and forgot it."""
        if not self._sha:
            self.load()
        try:
            return self._call(name, call_keys, arguments)
        except NoScriptError:
            self.load()
            return self._call(name, call_keys, arguments)

    def _call(self, name: str, call_keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return self._redis.evalsha(self._sha[name], len(call_keys), *call_keys, *arguments)


def stopped_by(answer: str) -> str:
    """The reason of a dead letter where an error stopped a commit, such as a field that is no number; else empty.

    What it had written by then stays. So it is set aside at once: a repetition would write that again.
    """
    return f"half committed: {answer.removeprefix('ERROR ')}" if answer.startswith("ERROR ") else ""


def load_rows(redis: Redis, wanted: Sequence[str]) -> dict[str, dict[str, str]]:
    """Whole hashes by key, in one round trip, without the marks of batches; a missing one is an empty dict."""
    unique = list(dict.fromkeys(wanted))
    if not unique:
        return {}
    pipe = redis.pipeline(transaction=False)
    for key in unique:
        pipe.hgetall(key)
    rows: dict[str, dict[str, str]] = dict(zip(unique, pipe.execute(), strict=True))
    for row in rows.values():
        row.pop(MARK, None)
    return rows
