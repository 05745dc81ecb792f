"""Trimming: old entries go, and never one that a group still needs."""

from __future__ import annotations

from typing import Any

import pytest

from sagashop import keys, redis_clients
from sagashop.settings import Settings
from sagashop.streams.commit import Scripts
from sagashop.streams.retention import trim

pytestmark = pytest.mark.feature("F12")
STREAM = keys.stream("toy.events")
NODE = 100  # Redis trims whole nodes of so many entries


@pytest.fixture
def redis(redis_ledger: str) -> Any:
    """A stream of 1,000 old entries, 1-1 to 1000-1."""
    redis = redis_clients.ledger(Settings(redis_ledger_url=redis_ledger))
    pipe = redis.pipeline()
    for n in range(1, 1_001):
        pipe.xadd(STREAM, {"n": str(n)}, id=f"{n}-1")
    pipe.execute()
    return redis


def read(redis: Any, group: str, count: int, *, acknowledge: bool = True) -> list[str]:
    if group not in {info["name"] for info in redis.xinfo_groups(STREAM)}:
        redis.xgroup_create(STREAM, group, id="0")
    answer = redis.xreadgroup(group, "c", {STREAM: ">"}, count=count)
    ids = [entry for _, entries in answer for entry, _ in entries]
    if acknowledge and ids:
        redis.xack(STREAM, group, *ids)
    return ids


def oldest(redis: Any) -> int:
    return int(redis.xrange(STREAM, count=1)[0][0].split("-")[0])


def test_handled_entries_go_when_they_are_old(redis: Any) -> None:
    read(redis, "one", 1_000)
    assert trim(Scripts(redis), "toy.events", keep_s=60) >= 1_000 - NODE
    assert trim(Scripts(redis), "toy.events", keep_s=60) == 0


def test_young_entries_stay(redis: Any) -> None:
    read(redis, "one", 1_000)
    assert trim(Scripts(redis), "toy.events", keep_s=10**10) == 0


def test_undelivered_entries_stay(redis: Any) -> None:
    read(redis, "one", 450)
    trim(Scripts(redis), "toy.events", keep_s=60)
    assert 450 - NODE <= oldest(redis) <= 451
    assert len(read(redis, "one", 1_000)) == 550


def test_delivered_entries_that_are_not_acknowledged_stay(redis: Any) -> None:
    read(redis, "one", 250)
    pending = read(redis, "one", 10, acknowledge=False)
    read(redis, "one", 1_000)
    trim(Scripts(redis), "toy.events", keep_s=60)
    assert 251 - NODE <= oldest(redis) <= 251
    assert redis.xclaim(STREAM, "one", "other", 0, pending)[0][1] == {"n": "251"}


def test_the_slowest_of_several_groups_counts(redis: Any) -> None:
    read(redis, "fast", 1_000)
    read(redis, "slow", 300)
    read(redis, "stuck", 120)
    read(redis, "stuck", 500, acknowledge=False)
    trim(Scripts(redis), "toy.events", keep_s=60)
    assert 120 - NODE <= oldest(redis) <= 121


def test_a_group_that_has_read_nothing_keeps_everything(redis: Any) -> None:
    read(redis, "fast", 1_000)
    redis.xgroup_create(STREAM, "new", id="0")
    assert trim(Scripts(redis), "toy.events", keep_s=60) == 0


def test_nothing_goes_while_a_required_group_is_missing(redis: Any) -> None:
    read(redis, "one", 1_000)
    assert trim(Scripts(redis), "toy.events", keep_s=60, groups=["one", "journal"]) == 0
    redis.xgroup_create(STREAM, "journal", id="500-1")
    trim(Scripts(redis), "toy.events", keep_s=60, groups=["one", "journal"])
    assert 500 - NODE <= oldest(redis) <= 500


def test_a_stream_that_does_not_exist_is_no_error(redis: Any) -> None:
    assert trim(Scripts(redis), "toy.nothing", keep_s=60, groups=["one"]) == 0


def test_entries_of_one_millisecond_are_told_apart(redis: Any) -> None:
    redis.delete(STREAM)
    pipe = redis.pipeline()
    for n in range(1, 501):
        pipe.xadd(STREAM, {"n": str(n)}, id=f"7-{n}")
    pipe.execute()
    read(redis, "fast", 500)
    read(redis, "slow", 350)
    trim(Scripts(redis), "toy.events", keep_s=60)
    assert 350 - NODE <= int(redis.xrange(STREAM, count=1)[0][0].split("-")[1]) <= 351
