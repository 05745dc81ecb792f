"""Effects as one Lua call: state, messages, timers and the acknowledgement take hold together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from sagashop import keys
from sagashop.batch import MARK
from sagashop.effects import FOREVER, Add, Command, Drop, Effects, Expect, Put, Recorded, SetTimer
from sagashop.messages import Envelope, Message, encode, new_id, now_ms

if TYPE_CHECKING:
    from redis import Redis

DONE, ALREADY, CONFLICT, FULL = "DONE", "ALREADY", "CONFLICT", "FULL"


def lua(*names: str) -> str:
    """The text of these script files, one after the other."""
    return "".join(resources.files("sagashop.streams").joinpath(name).read_text() for name in names)


class Call:
    """The arguments of one script call; each distinct key is named once."""

    def __init__(self, first_key: str) -> None:
        self._place = {first_key: 1}
        self.guards: list[str | int] = []
        self.commands: list[str | int] = []
        self.guard_count = 0

    @property
    def keys(self) -> list[str]:
        return list(self._place)

    def key(self, name: str) -> int:
        return self._place.setdefault(name, len(self._place) + 1)

    def guard(self, key: str, field: str, kind: str, first: str | int = "", second: str | int = "") -> None:
        self.guards += (self.key(key), field, kind, first, second)
        self.guard_count += 1

    def command(self, name: str, key: str, *arguments: str | int) -> None:
        self.commands += (len(arguments) + 2, name, self.key(key), *arguments)


def compile_effects(effects: Effects, *, service: str, trace: str, first_key: str) -> Call:
    """Turn effects into guards and Redis commands, in the order: guards, writes, messages, timers."""
    call, now = Call(first_key), now_ms()
    for guard in effects.expect:
        match guard:
            case Expect(key, field, None):
                call.guard(key, field, "absent")
            case Expect(key, field, value):
                call.guard(key, field, "is", str(value))
            case below:
                call.guard(below.key, below.field, "below", below.limit)
    for write in effects.write:
        match write:
            case Put(key, fields, ttl_s):
                call.command("HSET", key, *(part for pair in fields.items() for part in pair))
                if ttl_s is not None:
                    call.command(*(("PERSIST", key) if ttl_s == FOREVER else ("EXPIRE", key, ttl_s)))
            case Add(key, field, by, floor):
                if floor is not None:
                    call.guard(key, field, "floor", by, floor)
                call.command("HINCRBY", key, field, by)
            case Drop(key):
                call.command("DEL", key)
    for emission in effects.emit:
        envelope = seal(emission, service=service, trace=trace, time_ms=now)
        call.command("XADD", keys.stream(envelope.message.channel), "*", *flat(envelope))
    for timer in effects.timers:
        member = f"{type(timer.message).__name__} {encode(timer.message)}"
        if isinstance(timer, SetTimer):
            call.command("ZADD", keys.deadlines(service), now + int(timer.after_s * 1000), member)
        else:
            call.command("ZREM", keys.deadlines(service), member)
    return call


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


class Scripts:
    """Our scripts on one server. Each has its fence, so a call may be repeated after a lost reply."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._text = {
            "commit": lua("fence.lua", "apply.lua"),
            "admit": lua("admit.lua", "apply.lua"),
            **{name: lua(f"{name}.lua") for name in ("dead", "replay", "due", "trim")},
        }
        self._sha: dict[str, str] = {}

    def load(self) -> None:
        """Load all scripts, one round trip."""
        pipe = self._redis.pipeline(transaction=False)
        for text in self._text.values():
            pipe.script_load(text)
        self._sha = dict(zip(self._text, pipe.execute(), strict=True))

    def run(self, name: str, call_keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run one script."""
        return self._raise(self.run_many(name, [(call_keys, arguments)])[0])

    def run_many(self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        """Run one script many times in one pipeline; answers in order, an error of a single call as its exception."""
        if not self._sha:
            self.load()
        answers = self._pipeline(name, calls)
        if any(isinstance(answer, NoScriptError) for answer in answers):  # the server restarted and forgot them
            self.load()
            answers = self._pipeline(name, calls)
        return answers

    def _pipeline(self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for call_keys, arguments in calls:
            pipe.evalsha(self._sha[name], len(call_keys), *call_keys, *arguments)
        return pipe.execute(raise_on_error=False)

    @staticmethod
    def _raise(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


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
