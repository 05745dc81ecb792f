"""Effects as one Lua call: state, messages, timers and the acknowledgement take hold together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from sagashop import keys
from sagashop.batch import MARK
from sagashop.effects import FOREVER, Add, Command, Drop, Effects, Expect, Put, Recorded, SetTimer
from sagashop.jobs.job import enqueueing
from sagashop.messages import Envelope, Message, encode, new_id, now_ms

if TYPE_CHECKING:
    from redis import Redis

    from sagashop.jobs.job import Job

ALREADY, CONFLICT, FULL = "ALREADY", "CONFLICT", "FULL"
GUARD_WORDS = 5


def lua(name: str, *, using: str = "", package: str = "sagashop.streams") -> str:
    """The text of a script file; the functions of another one come in behind its first line."""
    folder = resources.files(package)
    first, rest = folder.joinpath(name).read_text().split("\n", 1)
    return "\n".join([first, folder.joinpath(using).read_text() if using else "", rest])


class Keys:
    """The keys of one script call, each named once; a key is told by its place, from 1."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def place(self, key: str) -> int:
        return self._places.setdefault(key, len(self._places) + 1)


def compile_effects(effects: Effects, places: Keys, *, service: str, trace: str) -> list[str | int]:
    """Effects as the words of apply.lua: guards, writes, messages, timers, jobs."""
    now, guards, commands = now_ms(), list[str | int](), list[str | int]()

    def guard(key: str, field: str, kind: str, first: str | int = "", second: str | int = "") -> None:
        guards.extend((places.place(key), field, kind, first, second))

    def command(name: str, key: str, *arguments: str | int) -> None:
        commands.extend((len(arguments) + 2, name, places.place(key), *arguments))

    for expected in effects.expect:
        match expected:
            case Expect(key, field, None):
                guard(key, field, "absent")
            case Expect(key, field, value):
                guard(key, field, "is", str(value))
            case below:
                guard(below.key, below.field, "below", below.limit)
    for write in effects.write:
        match write:
            case Put(key, fields, ttl_s):
                command("HSET", key, *(part for pair in fields.items() for part in pair))
                if ttl_s is not None:
                    command(*(("PERSIST", key) if ttl_s == FOREVER else ("EXPIRE", key, ttl_s)))
            case Add(key, field, by, floor):
                if floor is not None:
                    guard(key, field, "floor", by, floor)
                command("HINCRBY", key, field, by)
            case Drop(key):
                command("DEL", key)
    for emission in effects.emit:
        envelope = seal(emission, service=service, trace=trace, time_ms=now)
        command("XADD", keys.stream(envelope.message.channel), "*", *flat(envelope))
    for timer in effects.timers:
        member = f"{type(timer.message).__name__} {encode(timer.message)}"
        if isinstance(timer, SetTimer):
            command("ZADD", keys.deadlines(service), now + int(timer.after_s * 1000), member)
        else:
            command("ZREM", keys.deadlines(service), member)
    commands.extend(_enqueueing(effects.jobs, places, service, now))
    return [len(guards) // GUARD_WORDS, *guards, *commands]


def _enqueueing(jobs: Sequence[Job], places: Keys, service: str, now: int) -> Iterator[str | int]:
    for job in jobs:
        for name, key, *arguments in enqueueing(service, job, now):
            yield from (len(arguments) + 2, name, places.place(str(key)), *arguments)


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


def flat(envelope: Envelope) -> list[str]:
    """The wire fields as XADD takes them: name, value, name, value."""
    return [part for pair in envelope.fields().items() for part in pair]


def _own_scripts() -> Mapping[str, str]:
    return {
        "commit": lua("commit.lua", using="apply.lua"),
        "admit": lua("admit.lua", using="apply.lua"),
        **{name: lua(f"{name}.lua") for name in ("dead", "replay", "due", "trim")},
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
