"""The job queue on a real Redis: priorities, retries, dead workers, zombies, lost answers, full memory, restarts."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Lost
from redis.retry import Retry

from sagashop.bus import connect_bus
from sagashop.effects import Effects
from sagashop.errors import NotReachable, Unavailable
from sagashop.health import Pulse
from sagashop.jobs.holder import Holder, Outcome
from sagashop.jobs.job import Hopeless, Job, Policy, Taken
from sagashop.jobs.queue import JobQueue
from sagashop.jobs.worker import Handle, JobWorker
from sagashop.settings import Settings
from tests.servers import RedisServer, eventually

QUICK = Policy(visibility_s=0.3, attempts=3, backoff_s=0.05, batch=10)
F31 = pytest.mark.feature("F31")


class Bench:
    """A queue, workers of it in this process, and what they did."""

    def __init__(self, url: str, policy: Policy = QUICK) -> None:
        self.redis = redis.Redis.from_url(url, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 0))
        self.queue, self.policy, self.did = JobQueue("toy", self.redis), policy, list[str]()

    def holder(self, name: str = "w") -> Holder:
        return Holder(self.queue, name, self.policy, blocking=self.redis)

    def worker(self, **handlers: Handle) -> JobWorker:
        def do(job: Taken) -> None:
            self.did.append(job.id)

        return JobWorker(self.holder(), {"do": do, **handlers}, self.policy)

    def add(self, *ids: str, priority: Any = "normal", kind: str = "do") -> int:
        return self.queue.enqueue_all([Job(kind=kind, payload="{}", id=each, priority=priority) for each in ids])

    def status(self, job_id: str) -> str:
        found = self.queue.get(job_id)
        assert found is not None
        return found.status

    def where(self) -> Mapping[str, int]:
        """How many jobs are where, those with none left out."""
        counts = self.queue.counts()
        found: dict[str, int] = {"delayed": counts.delayed, "processing": counts.processing, "failed": counts.failed}
        found.update(counts.waiting.items())
        return {name: number for name, number in found.items() if number}


@pytest.fixture
def bench(redis_ledger: str) -> Bench:
    return Bench(redis_ledger)


@contextmanager
def running(worker: JobWorker) -> Iterator[None]:
    """The worker's loop and its lease in threads, while the block runs."""
    stopping = threading.Event()
    threads = [
        threading.Thread(target=worker.run, args=(stopping, Pulse()), daemon=True),
        threading.Thread(target=worker.tend, args=(stopping,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(timeout=10)
        assert not any(thread.is_alive() for thread in threads)


@F31
def test_high_priority_overtakes_ten_thousand_newsletters(bench: Bench) -> None:
    bench.add(*(f"news-{number}" for number in range(10_000)), priority="low")
    worker = bench.worker()
    worker.step()
    bench.add("order", priority="normal")
    bench.add("password", priority="high")
    worker.step()
    assert bench.did[10:13] == ["password", "order", "news-10"]
    assert bench.where() == {"low": 10_000 - 10 - 8}


@F31
def test_a_job_is_told_of_from_queued_to_done_and_then_forgotten(bench: Bench) -> None:
    bench.add("one")
    queued = bench.queue.get("one")
    assert queued is not None
    assert (queued.status, queued.attempts, queued.started_ms, queued.ended_ms) == ("queued", 0, None, None)
    (taken,) = bench.holder("me").take(5)
    processing = bench.queue.get("one")
    assert processing is not None
    assert (processing.status, processing.attempts, taken.attempt) == ("processing", 1, 1)
    assert processing.worker.startswith("me.")
    bench.redis.flushall()
    bench.add("one")
    bench.worker().step()
    done = bench.queue.get("one")
    assert done is not None
    assert done.started_ms is not None
    assert done.ended_ms is not None
    assert (done.status, done.queued_ms <= done.started_ms <= done.ended_ms) == ("done", True)
    key = bench.queue.keys.job("one")
    assert 0 < int(bench.redis.ttl(key)) <= bench.policy.keep_s
    assert not bench.redis.hexists(key, "payload")
    assert bench.queue.get("two") is None


def test_a_job_enqueued_again_is_the_same_job(bench: Bench) -> None:
    assert bench.add("one", "two") == 2
    assert bench.add("two", "three") == 1
    assert not bench.queue.enqueue("do", "{}", id="one")
    worker = bench.worker()
    worker.step()
    assert bench.add("one") == 0, "also when it is done"
    assert bench.did == ["one", "two", "three"]
    assert worker.step(0.01) == 0


def test_a_commit_enqueues_as_the_queue_does_and_twice_in_vain(bench: Bench, redis_ledger: str) -> None:
    bus, job = connect_bus(Settings(redis_ledger_url=redis_ledger)), Job(kind="do", payload="{}", id="one")
    bench.queue.enqueue_all([job])
    by_queue = everything(bench.redis)
    bench.redis.flushall()
    bus.admit("toy", Effects(jobs=[job]))
    assert everything(bench.redis) == by_queue
    bus.admit("toy", Effects(jobs=[job]))
    bench.worker().step()
    assert bench.did == ["one"]
    assert bench.where() == {}
    bus.admit("toy", Effects(jobs=[job]))
    assert bench.redis.ttl(bench.queue.keys.job("one")) == -1
    bench.worker().step()
    assert bench.did == ["one", "one"], "what was done is done again: whoever decides sees to it that it is once"


def everything(server: redis.Redis) -> dict[str, Any]:
    """All lists and hashes, without times."""
    found: dict[str, Any] = {}
    for key in server.scan_iter("*"):
        if server.type(key) == "list":
            found[key] = server.lrange(key, 0, -1)
        else:
            row: Any = server.hgetall(key)
            found[key] = {name: value for name, value in row.items() if not name.endswith("_ms")}
    return found


def test_a_failure_is_tried_again_with_growing_distance_and_then_left_to_the_operator(bench: Bench) -> None:
    def fail(_: Taken) -> None:
        raise ArithmeticError("does not add up")

    bench.add("one", kind="fail")
    worker, pauses = bench.worker(fail=fail), list[int]()
    for _ in range(2):
        eventually(lambda: worker.step(0.01))
        found = bench.queue.get("one")
        assert found is not None
        assert found.due_ms is not None
        pauses.append(found.due_ms - int(time.time() * 1000))
        assert (found.status, found.error) == ("queued", "ArithmeticError: does not add up")
        assert bench.where() == {"delayed": 1}
    eventually(lambda: worker.step(0.01))
    assert pauses[1] > pauses[0] > 0
    assert bench.where() == {"failed": 1}
    (given_up,) = bench.queue.failed()
    assert (given_up.id, given_up.attempts, given_up.status) == ("one", 3, "failed")
    assert bench.redis.ttl(bench.queue.keys.job("one")) == -1, "it waits for somebody to look at it"


def test_a_failed_job_is_retried_or_discarded_once(bench: Bench) -> None:
    def refuse(_: Taken) -> None:
        raise Hopeless("no such mailbox")

    bench.add("one", "two", kind="fail")
    bench.worker(fail=refuse).step()
    assert [(job.attempts, job.error) for job in bench.queue.failed()] == [(1, "Hopeless: no such mailbox")] * 2
    assert (bench.queue.retry("one"), bench.queue.retry("one")) == (True, False)
    assert (bench.queue.discard("two"), bench.queue.discard("two")) == (True, False)
    assert bench.queue.get("two") is None
    bench.worker(fail=lambda job: bench.did.append(job.id)).step()
    assert (bench.did, bench.status("one"), bench.where()) == (["one"], "done", {})
    assert not bench.queue.discard("one"), "only what failed can be discarded"


def test_what_fails_takes_no_other_job_of_its_batch_with_it(bench: Bench) -> None:
    def fail(_: Taken) -> None:
        raise ValueError

    bench.add("good-1")
    bench.add("bad", kind="fail")
    bench.add("good-2", "good-3")
    worker = bench.worker(fail=fail)
    worker.step()
    assert (bench.did, bench.where()) == (["good-1", "good-2", "good-3"], {"delayed": 1})
    time.sleep(0.07)
    bench.add("good-4")
    assert [job.id for job in bench.holder().take(10)] == ["good-4"], "who has failed before"
    assert [job.id for job in bench.holder().take(10)] == ["bad"], "comes alone"


@F31
def test_a_server_that_is_away_costs_no_job_an_attempt_and_keeps_the_order(bench: Bench) -> None:
    away = True

    def send(job: Taken) -> None:
        if away and job.id != "one":
            raise NotReachable("the mail server is away")
        bench.did.append(job.id)

    bench.add("one", "two", "three", kind="send")
    worker = bench.worker(send=send)
    for _ in range(5):
        with pytest.raises(NotReachable):
            worker.step()
    assert (bench.did, bench.where()) == (["one"], {"normal": 2})
    away = False
    worker.step()
    assert bench.did == ["one", "two", "three"]
    found = bench.queue.get("two")
    assert found is not None
    assert found.attempts == 1


def test_what_is_urgent_does_not_wait_for_the_rest_of_a_slow_batch(redis_ledger: str) -> None:
    bench = Bench(redis_ledger, Policy(batch=10, hold_s=0.05))

    def slow(job: Taken) -> None:
        time.sleep(0.03)
        bench.did.append(job.id)

    bench.add(*(f"news-{number}" for number in range(10)), priority="low", kind="slow")
    worker = bench.worker(slow=slow)
    worker.step()
    begun = len(bench.did)
    bench.add("urgent", priority="high")
    worker.step()
    assert 1 <= begun < 10
    assert bench.did[begun : begun + 2] == ["urgent", f"news-{begun}"]


@F31
def test_a_worker_killed_in_the_middle_of_a_job_is_replaced_by_another(bench: Bench, redis_ledger: str) -> None:
    """It dies with `hang` begun and the two behind it taken; the two are done at once, `hang` counts one attempt."""
    bench.queue.enqueue("note", "hang", id="hang")
    bench.add("two", "three", kind="note")
    command = [sys.executable, "-m", "tests.integration.job_worker", redis_ledger]
    with subprocess.Popen(command) as process:
        eventually(lambda: bench.redis.llen("notes") == 1, deadline_s=30)
        assert bench.where() == {"processing": 3}
        process.kill()
    other = bench.worker(note=lambda job: bench.did.append(f"{job.id} {job.attempt}"))
    with running(other):
        eventually(lambda: len(bench.did) == 3)
    assert sorted(bench.did) == ["hang 2", "three 2", "two 2"]
    assert bench.where() == {}


def test_a_job_that_overruns_ends_its_process_and_at_last_is_given_up(bench: Bench, redis_ledger: str) -> None:
    bench.queue.enqueue("note", "hang", id="hang")
    command = [sys.executable, "-m", "tests.integration.job_worker", redis_ledger]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.wait(30) == 70, "its supervisor would start it again"
    holder = bench.holder()
    for attempt in (2, 3):
        eventually(holder.tend)
        assert [job.attempt for job in bench.holder("dies").take(1)] == [attempt]
    eventually(holder.tend)
    assert bench.where() == {"failed": 1}
    assert "the worker died" in bench.queue.failed()[0].error


@F31
def test_a_zombie_cannot_finish_a_job_that_was_taken_over(bench: Bench) -> None:
    bench.add("one")
    zombie, heir = bench.holder("zombie"), bench.holder("heir")
    (taken,) = zombie.take(1)
    eventually(heir.tend)
    (again,) = heir.take(1)
    assert (again.id, again.attempt) == ("one", 2)
    for what in ("done", "again", "failed", "back"):
        assert zombie.settle([Outcome(taken.id, what)]) == ["one"]
        assert (bench.status("one"), bench.where()) == ("processing", {"processing": 1})
    assert heir.settle([Outcome("one", "done")]) == []
    assert heir.settle([Outcome("one", "failed")]) == ["one"], "a repetition after a lost answer changes nothing"
    assert (bench.status("one"), bench.where()) == ("done", {})


def test_a_worker_that_renews_its_lease_keeps_a_long_job(redis_ledger: str) -> None:
    bench = Bench(redis_ledger, Policy(visibility_s=2))  # so long, that a busy machine is not taken for a dead worker
    bench.add("one")
    holder, other = bench.holder(), bench.holder("other")
    holder.take(1)
    for _ in range(8):
        time.sleep(0.3)
        holder.tend()
        assert other.tend() == 0
    assert holder.settle([Outcome("one", "done")]) == []


def test_an_answer_lost_after_taking_loses_no_job(bench: Bench) -> None:
    bench.add("one", "two", "three")
    holder = bench.holder()
    holder.take(2)  # the answer is lost
    assert [(job.id, job.attempt) for job in holder.take(10)] == [("one", 1), ("two", 1)]
    holder.settle([Outcome("one", "done"), Outcome("two", "done")])
    assert [job.id for job in holder.take(10)] == ["three"]


def test_an_outcome_that_could_not_be_told_is_told_before_anything_else(bench: Bench) -> None:
    bench.add("one", "two")
    holder = bench.holder()
    lost = [Lost("the answer is lost"), None]

    class Flaky:
        take, wait, failure = holder.take, holder.wait, holder.failure

        @staticmethod
        def settle(outcomes: Any) -> list[str]:
            trouble = lost.pop(0) if outcomes and lost else None
            if trouble:
                raise trouble
            return holder.settle(outcomes)

    worker = JobWorker(Flaky(), {"do": lambda job: bench.did.append(job.id)}, bench.policy)  # type: ignore[arg-type]
    with pytest.raises(Lost):
        worker.step()
    worker.step(0.01)
    assert (bench.did, bench.where()) == (["one", "two"], {})


def test_an_idle_worker_begins_at_once(bench: Bench) -> None:
    with running(bench.worker()):
        time.sleep(0.1)
        started = time.monotonic()
        bench.add("one")
        eventually(lambda: bench.did, every_s=0.005)
        assert time.monotonic() - started < 0.4, "it did not wait for its next look"
    assert not bench.redis.exists(bench.queue.keys.wake, bench.queue.keys.workers)


@F31
def test_two_workers_and_two_restarts_of_redis_lose_nothing(own_redis: Callable[..., RedisServer]) -> None:
    server = own_redis(durable=True)
    bench = Bench(server.url)
    bench.add(*map(str, range(600)))

    def slowly(job: Taken) -> None:
        time.sleep(0.001)
        bench.did.append(job.id)

    with running(bench.worker(do=slowly)), running(bench.worker(do=slowly)):
        for progress in (100, 300):
            eventually(lambda wanted=progress: len(bench.did) >= wanted)  # type: ignore[misc]
            server.kill()
            server.start()
        eventually(lambda: set(bench.did) == set(map(str, range(600))), deadline_s=30)
        eventually(lambda: bench.where() == {})
    assert {bench.status(str(number)) for number in range(600)} == {"done"}


def test_a_full_redis_takes_no_new_jobs_and_finishes_those_it_has(own_redis: Callable[..., RedisServer]) -> None:
    bench = Bench(own_redis("--maxmemory", "8mb", "--maxmemory-policy", "noeviction").url)
    bench.add("one", "two")
    bench.add("three", kind="fail")

    def fill() -> None:
        for number in range(100):
            bench.queue.enqueue("do", "x" * 100_000, id=f"big-{number}", priority="low")

    def fill_up() -> None:
        for number in range(100):
            bench.redis.set(f"filler-{number}", "x" * 100_000)

    with pytest.raises(Unavailable, match="nearly full"):
        fill()
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        fill_up()
    with pytest.raises(Unavailable, match=r"full|no memory"):
        bench.add("more")

    def fail(_: Taken) -> None:
        raise ValueError

    worker = bench.worker(fail=fail)
    while worker.step(0.01):
        pass
    assert [job for job in bench.did if not job.startswith("big")] == ["one", "two"]
    assert bench.where() == {"delayed": 1}
