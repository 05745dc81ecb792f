"""On the RabbitMQ bus: has a service committed every event that it hears?

RabbitMQ does not say at once what its consumers have in their hands, and says nothing of what was lost. Both are in
Redis: the stream of whoever tells has the event, and the fence of whoever hears has a receipt for it, or the event is
under way, wherever that is: at its relay, in the queue, in a worker's hands, in a pause before its next attempt.
Commands are not seen so, since nobody may read what others tell him; but an order waits for their answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from sagashop import keys
from sagashop.audit.facts import Check, Tally
from sagashop.rabbit.events import EVENTS, inbox_queue
from sagashop.rabbit.fence import KEEP
from sagashop.rabbit.topology import Topology

if TYPE_CHECKING:
    from redis import Redis

MANY, BATCH = 100, 1_000


class Receipts:
    """Of one service. Remembers up to where all is committed, so that asking again is cheap."""

    name = "events that are not committed"

    def __init__(self, service: str, redis: Redis, topology: Topology) -> None:
        self._service, self._redis = service, redis
        self._heard: dict[str, set[str]] = {}
        self._settled: dict[str, str] = {}
        for binding in topology.bindings:
            if (binding.queue, binding.exchange) == (inbox_queue(service), EVENTS):
                channel, _, kind = binding.key.rpartition(".")
                if channel != f"{service}.commands":
                    self._heard.setdefault(channel, set()).add(kind)

    def waiting(self) -> int:
        return len(list(islice(self.missing(), MANY)))

    def checks(self, house: str) -> Iterator[Check]:
        tally = Tally("every event that it hears is committed")
        tally.saw(len(self._heard))
        for each in self.missing():
            tally.found(each)
        yield tally.check(house)

    def missing(self) -> Iterator[str]:
        """The message ids of events without a receipt."""
        known_since = self._known_since()
        for channel, kinds in self._heard.items():
            yield from self._missing(channel, kinds, known_since)

    def _missing(self, channel: str, kinds: set[str], known_since: str) -> Iterator[str]:
        """The first one that is missing is where the next look begins."""
        after, complete = max(self._settled.get(channel, known_since), known_since, key=_place), True
        while entries := self._page(channel, after):
            ours = [entry for entry, fields in entries if fields.get("type") in kinds]
            lost = [entry for entry, there in zip(ours, self._receipts(channel, ours), strict=True) if there is None]
            if complete and not lost:
                self._settled[channel] = entries[-1][0]
            complete = complete and not lost
            yield from (f"{channel}/{entry}" for entry in lost)
            after = entries[-1][0]

    def _page(self, channel: str, after: str) -> list[tuple[str, dict[str, str]]]:
        found: Any = self._redis.xrange(keys.stream(channel), min=f"({after}", count=BATCH)
        return list(found)

    def _receipts(self, channel: str, entries: list[str]) -> list[float | None]:
        pipe = self._redis.pipeline(transaction=False)
        for entry in entries:
            pipe.zscore(keys.fence(self._service), f"{channel}/{entry}")
        scores: list[float | None] = pipe.execute()
        return scores

    def _known_since(self) -> str:
        """What is older was heard on the other bus, or its receipt may have been thrown away (see `Fence.shorten`)."""
        fence = keys.fence(self._service)
        oldest: Any = self._redis.zrange(fence, 0, 0, withscores=True) if self._redis.zcard(fence) >= KEEP else []
        moved: Any = self._redis.get(keys.moved(self._service))
        return f"{max(int(oldest[0][1]) if oldest else 0, int(moved or 0))}-0"


def _place(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)
