"""What the machine can do at all: the same number of commits and hops as an order, with nothing of ours in between."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import redis
from flask import Flask, Response

HOPS = 9
"""Commits of one order: placed · reserved · asked for payment · held · confirmed · captured · shipped · two replies."""
BATCH = 100
COMMIT = """
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], 'state', ARGV[3])
if KEYS[3] then redis.call('XADD', KEYS[3], '*', 'data', ARGV[3]) end
"""
PAYLOAD = "x" * 400


def drain(url: str, sagas: int) -> float:
    """Sagas per second of one loop that reads a batch, commits it in one pipeline, and goes on to the next hop."""
    client = redis.Redis.from_url(url, decode_responses=True)
    streams = [f"{{0}}:bench:floor:{hop}" for hop in range(HOPS)]
    _clear(client, streams)
    sha = str(client.script_load(COMMIT))
    _fill(client, streams[0], sagas)
    started = time.perf_counter()
    for hop, following in pairwise([*streams, ""]):
        _hop(client, sha, hop, following)
    took_s = time.perf_counter() - started
    _clear(client, streams)
    client.close()
    return sagas / took_s


def one_by_one(url: str, sagas: int, hops: int) -> list[float]:
    """Milliseconds of single sagas of so many hops, each read and committed alone."""
    client = redis.Redis.from_url(url, decode_responses=True)
    streams = [f"{{0}}:bench:single:{hop}" for hop in range(hops)]
    _clear(client, streams)
    sha, took_ms = str(client.script_load(COMMIT)), []
    for stream in streams:
        client.xgroup_create(stream, "g", id="0", mkstream=True)
    for _ in range(sagas):
        started = time.perf_counter()
        client.xadd(streams[0], {"data": PAYLOAD})
        for hop, following in pairwise([*streams, ""]):
            _step(client, sha, hop, following)
        took_ms.append((time.perf_counter() - started) * 1000)
    _clear(client, streams)
    client.close()
    return took_ms


def _fill(client: redis.Redis, stream: str, sagas: int) -> None:
    for first in range(0, sagas, 1000):
        pipe = client.pipeline(transaction=False)
        for _ in range(first, min(sagas, first + 1000)):
            pipe.xadd(stream, {"data": PAYLOAD})
        pipe.execute()


def _hop(client: redis.Redis, sha: str, stream: str, following: str) -> None:
    client.xgroup_create(stream, "g", id="0", mkstream=True)
    while _step(client, sha, stream, following):
        pass


def _step(client: redis.Redis, sha: str, stream: str, following: str) -> int:
    answer: Any = client.xreadgroup("g", "c", {stream: ">"}, count=BATCH)
    if not answer:
        return 0
    entries = answer[0][1]
    pipe = client.pipeline(transaction=False)
    for entry_id, _ in entries:
        wanted = [stream, f"{{0}}:bench:row:{entry_id}", *([following] if following else [])]
        pipe.evalsha(sha, len(wanted), *wanted, "g", entry_id, PAYLOAD)
    pipe.execute()
    return len(entries)


def _clear(client: redis.Redis, streams: list[str]) -> None:
    client.delete(*streams)
    for key in client.scan_iter("{0}:bench:row:*", count=5000):
        client.unlink(key)


def echo() -> Flask:
    """A Flask application that accepts everything at once: what is left of a request without us."""
    app = Flask("echo")

    @app.post("/api/orders")
    def accept() -> Response:
        return Response('{"status":"placed"}', status=202, mimetype="application/json")

    @app.get("/readyz")
    def ready() -> str:
        return "ok"

    return app
