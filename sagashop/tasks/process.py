"""The main of a process that works a queue of RabbitMQ off: the relay before it, the consumer, the burial after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from sagashop import log as logging
from sagashop import redis_clients
from sagashop.health import Pulse, serve_health
from sagashop.process import collect_rarely, stop_on_signals
from sagashop.rabbit.consumer import Consumer, Handle
from sagashop.rabbit.publisher import Publisher
from sagashop.rabbit.topology import Topology
from sagashop.settings import Settings
from sagashop.tasks.burial import burial
from sagashop.tasks.relay import Relay
from sagashop.worker import run_beside

log = structlog.get_logger()
Loop = Callable[[threading.Event], None]


def run(service: str, queue: str, settings: Settings, make: Callable[[threading.Event], Handle], topology: Topology, *,
        jobs: int = 1, beside: Sequence[Loop] = ()) -> int:  # fmt: skip
    """Work `<service>.<queue>` off until told to stop; returns the exit status. Messages that are not done come again.

    make:   the handler of one message (see `Consumer`), given the event that says when to stop
    jobs:   messages at a time
    beside: further loops in threads of their own
    """
    logging.configure(f"{service}-{queue}", settings.log_level, settings.log_format)
    stopping, crashed, pulse = threading.Event(), threading.Event(), Pulse()
    stop_on_signals(stopping)
    consumer = Consumer(settings.rabbitmq_url, service, queue, make(stopping), topology=topology, jobs=jobs)
    loops = (_relay(service, queue, settings).run, burial(service, settings, topology, stopping).run, *beside)
    threads = [threading.Thread(target=run_beside, args=(loop, stopping, crashed), daemon=True) for loop in loops]
    with serve_health(settings.bind_host, settings.health_port, pulse):
        for thread in threads:
            thread.start()
        collect_rarely()
        log.info("work.started", queue=f"{service}.{queue}", jobs=jobs)
        consumer.run(stopping, pulse)
        for thread in threads:
            thread.join(timeout=5)
    log.info("work.stopped")
    return 1 if crashed.is_set() else 0


def _relay(service: str, queue: str, settings: Settings) -> Relay:
    channel = f"{service}.{queue}"
    ledger, blocking = redis_clients.ledger(settings), redis_clients.blocking(settings)
    return Relay(service, channel, ledger, blocking, Publisher(settings.rabbitmq_url, f"{channel} relay"))
