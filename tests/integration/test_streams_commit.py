"""The commit on a real Redis: acknowledgement, guards, state and messages are one step."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from contracts.orders import Item, ReserveStock
from contracts.storefront import Activity, ProductPriced
from sagashop import keys
from sagashop.batch import MARK, chained
from sagashop.bus import GuardFailed
from sagashop.effects import FOREVER, Add, Below, ClearTimer, Drop, Effects, Expect, Guard, Put, SetTimer, Write
from sagashop.handlers import Handlers
from sagashop.messages import Catalogue
from sagashop.rabbit.fence import Fence
from sagashop.streams.commit import straight
from sagashop.worker import Worker
from services.fulfillment.handlers import make_handlers as fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.store import reservation_key, shelf_key
from tests.integration.rigs import sealed
from tests.integration.toy import COMMANDS, EVENTS, Count, Counted, Move, Tick, Toy, row
from tests.servers import eventually

pytestmark = pytest.mark.feature("F02")


@pytest.fixture
def toy(redis_ledger: str) -> Toy:
    return Toy(redis_ledger)


def test_effects_and_acknowledgement_are_one_step(toy: Toy) -> None:
    toy.tell(Count("a"), Count("a"), Count("b"))
    toy.work()
    assert (toy.row("a"), toy.row("b")) == ({"n": "2"}, {"n": "1"})
    assert len(toy.counted()) == 3
    assert toy.pending() == 0


def test_a_crash_between_reading_and_committing_changes_nothing_and_another_takes_over(toy: Toy) -> None:
    toy.tell(Count("a"))
    assert toy.inbox("crashed").read(10, 5), "read, and never heard of again"
    assert toy.row("a") == {}
    taker = toy.worker("taker")
    eventually(lambda: toy.work(taker) and toy.row("a"))
    assert (toy.row("a"), len(toy.counted()), toy.pending()) == ({"n": "1"}, 1, 0)


def test_a_zombie_that_commits_after_a_takeover_has_no_effect(toy: Toy) -> None:
    toy.tell(Count("a"))
    zombie = toy.inbox("zombie")
    delivery = zombie.read(10, 5)[0]
    taker = toy.worker("taker")
    eventually(lambda: toy.work(taker) and toy.row("a"))
    late = Effects([Counted("a")], [Add(row("a"), "n", 1)])
    assert zombie.commit([(delivery, late, "")]) == []
    assert (toy.row("a"), len(toy.counted())) == ({"n": "1"}, 1)


def test_a_commit_repeated_after_a_lost_answer_has_no_second_effect(toy: Toy) -> None:
    toy.tell(Count("a"))
    inbox = toy.inbox("toy-1")
    decided = [(inbox.read(10, 5)[0], Effects(write=[Add(row("a"), "n", 1)]), "")]
    for _ in range(3):
        assert inbox.commit(decided) == []
    assert toy.row("a") == {"n": "1"}


GUARDS: list[tuple[Guard | Write, bool]] = [
    (Expect(row("g"), "n", 5), True),
    (Expect(row("g"), "n", "5"), True),
    (Expect(row("g"), "n", 4), False),
    (Expect(row("g"), "n", None), False),
    (Expect(row("g"), "other", None), True),
    (Expect(row("none"), "n", None), True),
    (Below(row("g"), "n", 6), True),
    (Below(row("g"), "n", 5), False),
    (Below(row("none"), "n", 1), True),
    (Add(row("g"), "n", -5, floor=0), True),
    (Add(row("g"), "n", -6, floor=0), False),
    (Add(row("none"), "n", -1, floor=0), False),
    (Add(row("none"), "n", -1), True),
]


@pytest.mark.parametrize(("guard", "holds"), GUARDS, ids=str)
def test_a_guard_that_fails_lets_nothing_happen(toy: Toy, guard: Guard | Write, holds: bool) -> None:
    toy.redis.hset(row("g"), "n", "5")
    toy.tell(Count("a"))
    inbox = toy.inbox("toy-1")
    delivery = inbox.read(10, 5)[0]
    effects = Effects([Counted("a")], [Put(row("a"), {"n": 1})])
    if isinstance(guard, Expect | Below):
        effects.expect.append(guard)
    else:
        effects.write.append(guard)
    conflicts = inbox.commit([(delivery, effects, "")])
    assert conflicts == ([] if holds else [delivery])
    assert bool(toy.row("a")) == bool(toy.counted()) == holds
    assert toy.pending() == (0 if holds else 1)
    assert toy.redis.hget(row("g"), "n") == ("0" if holds and guard == GUARDS[9][0] else "5")


def test_a_conflict_decides_again_on_fresh_state(toy: Toy) -> None:
    meddled: list[str] = []
    plain = toy.worker("other")

    def view(message: Move, rows: Mapping[str, dict[str, str]]) -> dict[str, str]:
        seen = dict(rows[row(message.name)])
        if not meddled:  # another worker commits between this one's reading and its commit
            meddled.append(message.name)
            toy.redis.hset(row(message.name), "version", "7")
        return seen

    slow = Handlers(keys=lambda m: [row(m.name)], view=view)
    slow.on(Move)(lambda m, now: plain._handlers.decide(m, {row(m.name): now}))
    toy.tell(Move("a"))
    Worker(toy.inbox("toy-1"), slow, toy.settings).step(5)
    assert toy.row("a") == {"version": "8"}
    assert (len(toy.counted()), toy.pending()) == (1, 0)


NAMES, FIELDS, NUMBERS = st.sampled_from(["a", "b"]), st.sampled_from(["n", "m"]), st.integers(-3, 3)
ROWS, TICKS = st.builds(row, NAMES), st.builds(Tick, NAMES)
WRITES = st.one_of(
    st.builds(Put, ROWS, st.dictionaries(FIELDS, NUMBERS | st.just("x"), min_size=1), st.sampled_from([None, 60])),
    st.builds(Add, ROWS, FIELDS, NUMBERS, st.sampled_from([None, None, 0])),
    st.builds(Add, ROWS, FIELDS, NUMBERS),
    st.builds(Drop, ROWS),
)
WAITS = st.builds(Expect, ROWS, FIELDS, st.none() | NUMBERS) | st.builds(Below, ROWS, FIELDS, NUMBERS)
DECISIONS = st.builds(
    Effects,
    write=st.lists(WRITES, max_size=3),
    expect=st.lists(WAITS, max_size=1),
    timers=st.lists(st.builds(SetTimer, TICKS, st.just(60.0)) | st.builds(ClearTimer, TICKS), max_size=2),
)


@pytest.mark.parametrize("behind", ["the pending entries", "a set"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(decisions=st.lists(DECISIONS, min_size=1, max_size=8), again=st.integers(0, 7))
def test_a_batch_leaves_what_its_decisions_leave_one_by_one(
    toy: Toy, behind: str, decisions: list[Effects], again: int
) -> None:
    """Although what commutes is gathered: sums, timers, acknowledgements. One entry comes twice."""
    outcomes, fence = [], Fence("toy", toy.redis, straight)
    for together in (True, False):
        toy.redis.delete(row("a"), row("b"), keys.deadlines("toy"))
        inbox = toy.inbox("toy-1")
        toy.tell(*(Count("unused") for _ in decisions))
        deliveries = inbox.read(20, 5)
        decided = [(delivery, effects, "") for delivery, effects in zip(deliveries, decisions, strict=True)]
        decided.append((deliveries[again % len(decisions)], Effects(write=[Add(row("a"), "n", 1)]), ""))
        calls = [decided] if together else [[each] for each in decided]
        if behind == "a set":
            conflicts = [delivery for call in calls for delivery in fence.commit(call, "toy-1")[1]]
            settled = {delivery.entry for delivery in deliveries if toy.redis.zscore(keys.fence("toy"), delivery.entry)}
        else:
            conflicts = [delivery for call in calls for delivery in inbox.commit(call)]
            left: Any = toy.redis.xpending_range(COMMANDS, "toy", "-", "+", 20)
            settled = {delivery.entry for delivery in deliveries} - {entry["message_id"] for entry in left}
        places = {delivery.entry: place for place, delivery in enumerate(deliveries)}
        outcomes.append((
            [places[delivery.entry] for delivery in conflicts],
            {places[entry] for entry in settled},
            [(toy.row(name), toy.redis.ttl(row(name)) > 0) for name in ("a", "b")],
            sorted(map(str, toy.redis.zrange(keys.deadlines("toy"), 0, -1))),
        ))  # fmt: skip
        inbox.skip(deliveries)
    assert outcomes[0] == outcomes[1]


def test_an_error_half_way_makes_a_dead_letter_of_this_entry_alone_and_repeats_nothing(toy: Toy) -> None:
    toy.redis.hset(row("bad"), "n", "none")
    toy.tell(*(Count("unused") for _ in range(3)))
    inbox = toy.inbox("toy-1")
    fine, bad = Effects(write=[Add(row("a"), "n", 1)]), Effects(write=[Add(row("a"), "n", 10), Add(row("bad"), "n", 1)])
    deliveries = inbox.read(10, 5)
    decided = [(delivery, effects, "") for delivery, effects in zip(deliveries, [fine, bad, fine], strict=True)]
    for _ in range(2):
        assert inbox.commit(decided) == []
    assert (toy.row("a"), toy.row("bad")) == ({"n": "12"}, {"n": "none"}), "what it had written stays, and comes once"
    (letter,) = toy.letters.page()
    assert (letter.entry, toy.pending()) == (deliveries[1].entry, 0)
    assert "half committed" in letter.reason
    assert "not an integer" in letter.reason


def test_sums_that_cannot_be_written_in_the_end_are_not_done_twice(toy: Toy) -> None:
    toy.tell(*(Count("unused") for _ in range(2)))
    inbox = toy.inbox("toy-1")
    most = Add(row("a"), "n", 2**62)
    decided = [(delivery, Effects(write=[most, Add(row("b"), "n", 1)]), "") for delivery in inbox.read(10, 5)]
    with pytest.raises(ResponseError, match="overflow"):
        inbox.commit(decided)
    assert inbox.commit(decided) == []
    assert (toy.row("a"), toy.row("b"), toy.pending()) == ({"n": str(2**62)}, {"n": "2"}, 0)


def test_two_workers_on_one_row_lose_no_move(toy: Toy) -> None:
    toy.tell(*(Move("a") for _ in range(120)))
    workers = [toy.worker(f"toy-{n}") for n in range(2)]
    threads = [threading.Thread(target=toy.work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    eventually(lambda: [toy.work(worker) for worker in workers] and not toy.pending())
    assert toy.row("a")["version"] == "120"
    assert len(toy.counted()) == 120
    assert len(toy.letters) == 0


@pytest.mark.feature("F19")
def test_two_orders_for_the_last_mug_in_one_batch(redis_ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy(redis_ledger)
    service = fulfillment(FulfillmentSettings(opening_stock=1))
    inbox = toy.bus.inbox("fulfillment", service, "f-1")
    inbox.prepare()
    worker = Worker(inbox, service, toy.settings)
    toy.tell(ProductPriced(sku="MUG", revision=1, name="Mug", category="c", price_cents=100))
    worker.step(5)
    toy.tell(*(ReserveStock(order_id=f"o{n}", items=[Item(sku="MUG", quantity=1)]) for n in range(2)))
    commits: list[int] = []
    commit = inbox.commit

    def counting(decided: Any) -> Any:
        commits.append(len(decided))
        return commit(decided)

    monkeypatch.setattr(inbox, "commit", counting)
    worker.step(5)
    assert commits == [2], "both in one batch, and the second saw the first: nothing had to be decided again"
    statuses = [toy.redis.hget(reservation_key(f"o{n}"), "status") for n in range(2)]
    assert statuses == ["reserved", "rejected"]
    assert toy.redis.hget(shelf_key("MUG"), "available") == "0"


def test_the_front_door_applies_all_or_nothing(toy: Toy) -> None:
    effects = Effects([Counted("a")], [Put(row("a"), {"n": 1})], [Expect(row("a"), "n", None)])
    toy.bus.admit("toy", effects)
    with pytest.raises(GuardFailed):
        toy.bus.admit("toy", effects)
    assert (toy.row("a"), len(toy.counted())) == ({"n": "1"}, 1)
    assert toy.bus.load([row("a"), row("none")]) == {row("a"): {"n": "1"}, row("none"): {}}


def test_a_row_that_was_to_expire_stays_when_it_is_put_for_good(toy: Toy) -> None:
    toy.bus.admit("toy", Effects(write=[Put(row("a"), {"n": 1}, ttl_s=60)]))
    toy.bus.admit("toy", Effects(write=[Put(row("a"), {"n": 2})]))
    assert toy.redis.ttl(row("a")) > 0
    toy.bus.admit("toy", Effects(write=[Put(row("a"), {"n": 3}, ttl_s=FOREVER)]))
    assert toy.redis.ttl(row("a")) == -1
    toy.bus.admit("toy", Effects(write=[Drop(row("a"))]))
    assert toy.row("a") == {}


def test_a_handler_never_sees_the_mark_that_chains_a_batch(toy: Toy) -> None:
    key = row("marked")
    first, second = chained([
        Effects(expect=[Expect(key, "n", None)], write=[Put(key, {"n": 1})]),
        Effects(expect=[Expect(key, "n", 1)], write=[Put(key, {"n": 2})]),
    ])  # fmt: skip
    toy.bus.admit("toy", first)
    toy.bus.admit("toy", second)
    assert MARK in toy.row("marked")
    assert toy.bus.load([key]) == {key: {"n": "2"}}


def test_scripts_that_the_server_forgot_are_loaded_again(toy: Toy) -> None:
    toy.tell(Count("a"))
    worker = toy.worker()
    toy.work(worker)
    toy.redis.script_flush()
    toy.tell(*(Count("a") for _ in range(5)))
    toy.work(worker)
    assert (toy.row("a"), toy.pending()) == ({"n": "6"}, 0)


def test_a_commit_carries_the_trace_on(toy: Toy) -> None:
    toy.redis.xadd(COMMANDS, toy.fields(Count("a"), trace="00-abc-def-01"))
    toy.work()
    ((_, event),) = toy.entries(EVENTS)
    assert (event["trace"], event["producer"]) == ("00-abc-def-01", "toy")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))  # fmt: skip


@pytest.mark.feature("F01")
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tags=st.dictionaries(text, values, max_size=4))
def test_nested_values_survive_the_stream(toy: Toy, tags: dict[str, object]) -> None:
    (sent,) = sealed([Activity(kind="page_view", visitor_id="v", tags=tags)])
    toy.bus.publish([sent])
    _, fields = toy.entries(keys.stream("storefront.behaviour"))[-1]
    assert Catalogue([Activity]).open(fields) == sent
