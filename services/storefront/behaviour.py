"""Behaviour events, best effort: they never slow the shop down and never make it fail.

A request puts its event into a short queue; a thread hands it to the bus. When redis-ledger is away or nearly full, or
the queue is, events are dropped, and a log line counts them.
"""

from __future__ import annotations

import queue
import threading

import structlog

from contracts.storefront import Activity
from sagashop.bus import Bus
from sagashop.effects import Effects
from sagashop.errors import SagashopError

log = structlog.get_logger()

QUEUE_LENGTH = 1_000


class Behaviour:
    """Where requests tell what visitors do. `track` may be called from any thread and returns at once.

    Delivery: at most once. `dropped` counts about how many were lost since the start.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus, self.dropped = bus, 0
        self._waiting: queue.Queue[tuple[Activity, str]] = queue.Queue(QUEUE_LENGTH)
        self._sender = threading.Thread(target=self._send_forever, name="behaviour", daemon=True)

    def start(self) -> Behaviour:
        self._sender.start()
        return self

    def track(self, activity: Activity, trace: str = "") -> None:
        """Tell what a visitor did; `trace` is the request's `traceparent`."""
        try:
            self._waiting.put_nowait((activity, trace))
        except queue.Full:
            self._drop(1, "too many are waiting")

    def _send_forever(self) -> None:
        while True:
            activity, trace = self._waiting.get()
            try:
                self._bus.admit("storefront", Effects(emit=[activity]), trace)
            except SagashopError as why:
                self._drop(1 + self._forget_waiting(), str(why))
            except Exception:
                log.exception("behaviour.failed")

    def _drop(self, count: int, why: str) -> None:
        self.dropped += count
        log.warning("behaviour.dropped", count=count, why=why)

    def _forget_waiting(self) -> int:
        """Drop what has queued up behind a server that is away: each would wait for its timeout in turn."""
        count = 0
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                return count
            count += 1
