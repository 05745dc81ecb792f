"""What an operator sees and does at `/admin/<service>/…`: the same for every service, and about its own keys only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import structlog
from flask import Blueprint
from msgspec import Meta, Struct, field

from sagashop import keys
from sagashop.errors import Forbidden, NotFound, NotLoggedIn
from sagashop.messages import now_ms
from sagashop.pages import BadCursor
from sagashop.rabbit.events import exchanges
from sagashop.rabbit.layout import unroutable
from sagashop.rabbit.rights import Rights, needed
from sagashop.rabbit.topology import Topology
from sagashop.streams.dead_letters import DeadLetter, DeadLetters, as_json
from sagashop.streams.overview import Stream, overview
from sagashop.web.auth import require_operator
from sagashop.web.inputs import Answer, Input, accepts

if TYPE_CHECKING:
    from redis import Redis

log = structlog.get_logger()
_entry_id = re.compile(r"\d{1,20}-\d{1,20}")
OPERATORS_ONLY = [NotLoggedIn, Forbidden]
NO_TOPOLOGY = Topology()


class NoDeadLetter(NotFound):
    kind, title = "no-dead-letter", "This dead letter does not exist, or has been replayed or discarded"


class Streams(Struct, frozen=True):
    streams: list[Stream]


class DeadLetterQuery(Input, frozen=True, kw_only=True):
    """The oldest first, those after the id `after`."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    after: Annotated[str, Meta(pattern=r"^[0-9]{1,20}-[0-9]{1,20}$")] | None = None


class DeadLetterPage(Struct, frozen=True, kw_only=True):
    """`total` counts all of them; `next_after` is the `after` of the next page."""

    items: list[DeadLetter]
    total: int
    next_after: str | None


class Replay(Input, frozen=True, kw_only=True):
    """Handle it again, with these wire fields changed: `{"changes": {"data": "…"}}`."""

    changes: dict[str, str] = field(default_factory=dict)


class Done(Struct, frozen=True):
    """The dead letter left, and this is what became of it: `replayed` or `discarded`."""

    id: str
    outcome: str


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """`timers`: deadlines that have not come yet."""

    service: str
    paused: bool
    dead_letters: int
    timers: int


class RabbitExchange(Struct, frozen=True):
    """`alternate` gets what nobody has bound; empty: it is dropped."""

    name: str
    kind: str
    alternate: str


class RabbitQueue(Struct, frozen=True):
    name: str
    arguments: dict[str, str | int]


class RabbitBinding(Struct, frozen=True):
    exchange: str
    key: str
    queue: str


class RabbitPolicy(Struct, frozen=True):
    """Limits of the queues whose names the pattern finds."""

    name: str
    pattern: str
    definition: dict[str, str | int]


class RabbitTopology(Struct, frozen=True):
    exchanges: list[RabbitExchange]
    queues: list[RabbitQueue]
    bindings: list[RabbitBinding]
    policies: list[RabbitPolicy]


class RabbitPart(Struct, frozen=True):
    """What a service declares on RabbitMQ, and what its user may do there.

    shared: made with the broker, for all; every service tells the same
    """

    service: str
    own: RabbitTopology
    shared: RabbitTopology
    rights: Rights


def admin_blueprint(service: str, redis: Redis, channels: Sequence[str], topology: Topology = NO_TOPOLOGY) -> Blueprint:
    """The operator's endpoints of one service.

    channels: the service's own, without its dead letters and its replay stream, which are always shown
    topology: what it has on RabbitMQ
    """
    routes = Blueprint("admin", __name__, url_prefix=f"/admin/{service}")
    letters = DeadLetters(redis, service)
    shown = [*channels, f"{service}.replay", f"{service}.dead"]
    routes.before_request(_operators_only)

    @routes.get("/streams")
    @accepts(answers=Streams, problems=OPERATORS_ONLY)
    def streams() -> Answer:
        return Streams(overview(redis, shown))

    @routes.get("/rabbit")
    @accepts(answers=RabbitPart, problems=OPERATORS_ONLY)
    def rabbit() -> Answer:
        """Told by the code: this process has no connection to RabbitMQ."""
        own = replace(topology, exchanges=tuple(each for each in topology.exchanges if not each.shared))
        return RabbitPart(service, _shown(own), _shown(unroutable() + exchanges()), needed(service, topology))

    @routes.get("/status")
    @accepts(answers=ServiceStatus, problems=OPERATORS_ONLY)
    def status() -> Answer:
        return _status(redis, service)

    @routes.post("/pause")
    @accepts(answers=ServiceStatus, problems=OPERATORS_ONLY)
    def pause() -> Answer:
        """The workers stop within a second or two, after the batch they are at; what arrives meanwhile waits."""
        redis.set(keys.paused(service), now_ms())
        log.warning("service.paused", paused=service)
        return _status(redis, service)

    @routes.post("/resume")
    @accepts(answers=ServiceStatus, problems=OPERATORS_ONLY)
    def resume() -> Answer:
        redis.delete(keys.paused(service))
        log.warning("service.resumed", resumed=service)
        return _status(redis, service)

    @routes.get("/dead-letters")
    @accepts(query=DeadLetterQuery, answers=DeadLetterPage, problems=[*OPERATORS_ONLY, BadCursor])
    def dead_letters(query: DeadLetterQuery) -> Answer:
        found = letters.page(after=query.after or "-", limit=query.limit + 1)
        page = found[: query.limit]
        following = page[-1].id if len(found) > query.limit else None
        return {"items": [as_json(letter) for letter in page], "total": len(letters), "next_after": following}

    @routes.get("/dead-letters/<letter_id>")
    @accepts(answers=DeadLetter, problems=[*OPERATORS_ONLY, NoDeadLetter])
    def dead_letter(letter_id: str) -> Answer:
        return as_json(_found(letters, letter_id))

    @routes.post("/dead-letters/<letter_id>/replay")
    @accepts(json=Replay, answers={202: Done}, problems=[*OPERATORS_ONLY, NoDeadLetter])
    def replay(letter_id: str, json: Replay) -> Answer:
        """Hand it to the service again. Of two at the same time one wins, and the other is told that it is gone."""
        if not letters.replay(_checked(letter_id), json.changes):
            raise NoDeadLetter
        log.info("dead_letter.replayed", letter=letter_id, changed=sorted(json.changes))
        return Done(letter_id, "replayed"), 202

    @routes.delete("/dead-letters/<letter_id>")
    @accepts(answers=Done, problems=[*OPERATORS_ONLY, NoDeadLetter])
    def discard(letter_id: str) -> Answer:
        if not letters.discard(_checked(letter_id)):
            raise NoDeadLetter
        log.warning("dead_letter.discarded", letter=letter_id)
        return Done(letter_id, "discarded")

    return routes


def _shown(topology: Topology) -> RabbitTopology:
    return RabbitTopology(
        [RabbitExchange(each.name, each.kind, each.alternate) for each in topology.exchanges],
        [RabbitQueue(each.name, each.arguments) for each in topology.queues],
        [RabbitBinding(each.exchange, each.key, each.queue) for each in topology.bindings],
        [RabbitPolicy(each.name, each.pattern, each.definition) for each in topology.policies],
    )


def _operators_only() -> None:
    require_operator()


def _status(redis: Redis, service: str) -> ServiceStatus:
    pipe = redis.pipeline(transaction=False)
    pipe.exists(keys.paused(service))
    pipe.xlen(keys.dead_letters(service))
    pipe.zcard(keys.deadlines(service))
    paused, dead, timers = pipe.execute()
    return ServiceStatus(service=service, paused=bool(paused), dead_letters=dead, timers=timers)


def _found(letters: DeadLetters, letter_id: str) -> DeadLetter:
    letter: Any = letters.get(_checked(letter_id))
    if letter is None:
        raise NoDeadLetter
    found: DeadLetter = letter
    return found


def _checked(letter_id: str) -> str:
    """What is not an entry id of a stream names nothing; Redis would call it a syntax error."""
    if not _entry_id.fullmatch(letter_id):
        raise NoDeadLetter
    return letter_id
