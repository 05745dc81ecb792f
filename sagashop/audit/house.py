"""What every service can say of its own house: streams and groups, timers, dead letters, outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from sagashop import keys
from sagashop.audit.elsewhere import Elsewhere
from sagashop.audit.facts import EXAMPLES, Check, Fact, LetterFact, OpenWork, Tally
from sagashop.errors import NotReachable
from sagashop.messages import now_ms
from sagashop.streams.dead_letters import DeadLetters, as_json

if TYPE_CHECKING:
    from redis import Redis

LATE_MS = 3_000
"""A timer is fired by the worker's next round; only after this long is it overdue."""
MANY = 100
"""Unread entries are counted up to here, and reported as so many: what is asked is whether there are any."""
LETTERS = 20


def none_waiting() -> int:
    """For a service without an outbox, or without orders."""
    return 0


class House:
    """The plumbing of one service.

    channels:  its own streams; every group on them is looked at, also those of other services
    outbox:    how many rows wait in the outbox, or what else is out of the house and is to come back
    unsettled: how many orders are under way
    elsewhere: where else work is under way; each is asked when there is none in those before it
    examine:   its own checks and facts
    """

    def __init__(self, service: str, redis: Redis, channels: Sequence[str], *,
                 outbox: Callable[[], int] = none_waiting, unsettled: Callable[[], int] = none_waiting,
                 elsewhere: Sequence[Elsewhere] = (),
                 examine: Callable[[], Iterator[Fact]] = lambda: iter(())) -> None:  # fmt: skip
        self.service, self._redis = service, redis
        self._channels = [*channels, f"{service}.replay", f"{service}.out"]
        self._outbox, self._unsettled, self._examine = outbox, unsettled, examine
        self._elsewhere = elsewhere

    def open_work(self) -> OpenWork:
        """What is still to be done, cheap enough to be asked every second."""
        waits = list(self._waiting())
        here = OpenWork(
            unread=sum(unread for _, _, unread, _ in waits),
            pending=sum(pending for _, _, _, pending in waits),
            timers=int(self._redis.zcard(keys.deadlines(self.service))),
            outbox=self._outbox(),
            unsettled=self._unsettled(),
            tips={channel: self._tip(channel) for channel in self._channels},
        )
        return self._with_elsewhere(here)

    def _with_elsewhere(self, work: OpenWork) -> OpenWork:
        for place in self._elsewhere:
            if not work.quiet:
                break
            try:
                work.elsewhere[place.name] = place.waiting()
            except NotReachable as why:
                work.unknown.append(f"{place.name}: {why}")
        return work

    def facts(self) -> Iterator[Fact]:
        """All checks of this house, and its facts."""
        yield self._groups()
        yield self._timers()
        if self._outbox is not none_waiting:
            yield self._relayed()
        for place in self._elsewhere:
            yield from place.checks(self.service)
        yield from self._letters()
        yield from self._examine()

    def _groups(self) -> Check:
        tally = Tally("every group has read and acknowledged everything")
        for channel, group, unread, pending in self._waiting():
            tally.saw()
            if unread or pending:
                tally.found(f"{channel}, group {group}: {unread} not read, {pending} not acknowledged")
        return tally.check(self.service)

    def _waiting(self) -> Iterator[tuple[str, str, int, int]]:
        """Channel, group, unread and pending. Redis' own `lag` is unknown after a group was set or an entry deleted."""
        for channel in self._channels:
            for group in self._groups_of(keys.stream(channel)):
                after = f"({group['last-delivered-id']}"
                unread: Any = self._redis.xrange(keys.stream(channel), min=after, count=MANY)
                yield channel, group["name"], len(unread), int(group["pending"])

    def _groups_of(self, stream: str) -> list[dict[str, Any]]:
        try:
            groups: list[dict[str, Any]] = self._redis.xinfo_groups(stream)
        except ResponseError:  # no such stream
            return []
        return groups

    def _tip(self, channel: str) -> str:
        """The id that was given last. It stays when the entry itself is trimmed, which is no work."""
        try:
            info: dict[str, Any] = self._redis.xinfo_stream(keys.stream(channel))
        except ResponseError:  # no such stream
            return ""
        return str(info["last-generated-id"])

    def _timers(self) -> Check:
        tally, name = Tally("no timer is overdue"), keys.deadlines(self.service)
        tally.saw(int(self._redis.zcard(name)))
        late: Any = self._redis.zrange(name, "-inf", str(now_ms() - LATE_MS), byscore=True, offset=0, num=MANY)
        for member in late:
            tally.found(member)
        return tally.check(self.service)

    def _relayed(self) -> Check:
        tally, waiting = Tally("the outbox is empty"), self._outbox()
        tally.saw(waiting)
        if waiting:
            tally.found(f"{waiting} rows wait")
        return tally.check(self.service)

    def _letters(self) -> Iterator[Fact]:
        letters = DeadLetters(self._redis, self.service)
        total, shown = len(letters), letters.page(limit=LETTERS)
        listed = [as_json(letter) for letter in shown]
        facts = [
            LetterFact(
                house=self.service, id=letter["id"], source=letter["source"],
                kind=letter["fields"].get("type", "?"), reason=letter["reason"],
            )
            for letter in listed
        ]  # fmt: skip
        examples = [f"{fact.id}: {fact.kind} from {fact.source}: {fact.reason}" for fact in facts[:EXAMPLES]]
        yield Check(house=self.service, name=DEAD_LETTERS, looked_at=total, wrong=total, examples=examples)
        yield from facts


DEAD_LETTERS, FAILED_TASKS, FAILED_JOBS = "no dead letters", "no failed tasks", "no failed jobs"
"""Checks that the auditor may be told to be lenient about."""
