"""How many jobs a second the queue on Redis lists takes and finishes, beside the same commands given bare."""

from __future__ import annotations

import time
from typing import Any

import redis

from bench.figures import Row
from sagashop import keys
from sagashop.jobs.holder import Holder
from sagashop.jobs.job import Job, Policy
from sagashop.jobs.queue import JobQueue
from sagashop.jobs.worker import JobWorker

BATCH = 100
SERVICE = "bench"
PAYLOAD = "x" * 400


def jobs_list(url: str, jobs: int) -> Row:
    """No-op jobs per second, one worker, batches of 100: taken, run and finished, each with status and fence."""
    client = redis.Redis.from_url(url, decode_responses=True)
    bare = _floor(client, jobs)
    queue, policy = JobQueue(SERVICE, client), Policy(batch=BATCH, hold_s=60)
    queue.enqueue_all([Job(kind="nothing", payload=PAYLOAD, id=str(number)) for number in range(jobs)])
    worker = JobWorker(Holder(queue, "bench", policy, blocking=client), {"nothing": lambda _: None}, policy)
    started, done = time.perf_counter(), 0
    while done < jobs:
        done += worker.step(0.1)
    took_s = time.perf_counter() - started
    _clear(client)
    client.close()
    return Row("jobs_list", round(jobs / took_s, 1), "jobs/s", round(bare, 1))


def _floor(client: redis.Redis, jobs: int) -> float:
    """The same commands on as many keys, in two transactions a batch, so that the file is synced as often."""
    waiting, held = keys.own(SERVICE, "floor", "waiting"), keys.own(SERVICE, "floor", "held")
    ids = [str(number) for number in range(jobs)]
    for at in range(0, jobs, 1000):
        pipe = client.pipeline(transaction=False)
        for each in ids[at : at + 1000]:
            pipe.hset(_hash(each), mapping={"kind": "nothing", "payload": PAYLOAD, "status": "queued", "attempts": 0})
        pipe.rpush(waiting, *ids[at : at + 1000])
        pipe.execute()
    started = time.perf_counter()
    for at in range(0, jobs, BATCH):
        _batch(client, ids[at : at + BATCH], waiting, held)
    took_s = time.perf_counter() - started
    _clear(client)
    return jobs / took_s


def _batch(client: redis.Redis, ids: list[str], waiting: str, held: str) -> None:
    pipe: Any = client.pipeline(transaction=True)
    for each in ids:
        pipe.lmove(waiting, held, "LEFT", "RIGHT")
        pipe.hmget(_hash(each), "status", "attempts", "kind", "payload", "queued_ms")
        pipe.hset(_hash(each), mapping={"status": "processing", "attempts": 1, "started_ms": 1, "worker": "bench"})
    pipe.execute()
    pipe = client.pipeline(transaction=True)
    for each in ids:
        pipe.lrem(held, 1, each)
        pipe.hset(_hash(each), mapping={"status": "done", "ended_ms": 1})
        pipe.hdel(_hash(each), "payload", "error", "due_ms")
        pipe.expire(_hash(each), 3600)
    pipe.execute()


def _hash(job_id: str) -> str:
    return keys.own(SERVICE, "floor", "job", job_id)


def _clear(client: redis.Redis) -> None:
    for key in client.scan_iter(keys.own(SERVICE, "*"), count=5000):
        client.unlink(key)
