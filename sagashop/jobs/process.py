"""A process that works a service's queue off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import structlog
from redis.exceptions import RedisError

from sagashop import keys, redis_clients
from sagashop import log as logging
from sagashop.health import Pulse, serve_health
from sagashop.jobs.holder import Holder
from sagashop.jobs.job import Policy
from sagashop.jobs.queue import JobQueue
from sagashop.jobs.worker import Handle, JobWorker
from sagashop.process import stop_on_signals
from sagashop.settings import Settings
from sagashop.worker import run_beside

log = structlog.get_logger()


def run(queue: JobQueue, handlers: Mapping[str, Handle], settings: Settings, policy: Policy, *,
        at_rest: Callable[[], None] = lambda: None) -> int:  # fmt: skip
    """The main of a process; returns its exit status when it is told to stop. What was not begun goes back."""
    logging.configure(queue.service, settings.log_level, settings.log_format)
    stopping, crashed, pulse = threading.Event(), threading.Event(), Pulse()
    stop_on_signals(stopping)
    holder = Holder(queue, settings.worker_name or "worker", policy, blocking=redis_clients.blocking(settings))
    worker = JobWorker(holder, handlers, policy, at_rest=at_rest, linger_s=settings.linger_ms / 1000)
    switch = Switch(queue)
    loops = (worker.tend, switch.watch)
    threads = [threading.Thread(target=run_beside, args=(loop, stopping, crashed), daemon=True) for loop in loops]
    with serve_health(settings.bind_host, settings.health_port, pulse):
        for thread in threads:
            thread.start()
        log.info("jobs.started", worker=holder.name, kinds=sorted(handlers))
        worker.run(stopping, pulse, switch.is_off)
    for thread in threads:
        thread.join(timeout=5)
    log.info("jobs.stopped")
    return 1 if crashed.is_set() else 0


class Switch:
    """The operator's pause switch of the service, looked at once a second."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue, self._paused = queue, False

    def is_off(self) -> bool:
        return self._paused

    def watch(self, stopping: threading.Event) -> None:
        """Look until the event is set."""
        while not stopping.wait(1.0):
            try:
                self._paused = bool(self._queue.redis.exists(keys.paused(self._queue.service)))
            except RedisError:
                continue
