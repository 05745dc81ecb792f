"""A service's worker inside a test: the real loop on a real Redis, stopped at the end of the block."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sagashop.bus import connect_bus
from sagashop.handlers import Handlers
from sagashop.health import Pulse
from sagashop.messages import Envelope, Message, new_id, now_ms
from sagashop.settings import Settings
from sagashop.worker import Worker


@contextmanager
def working(service: str, handlers: Handlers, settings: Settings, workers: int = 1) -> Iterator[None]:
    """Run so many workers of a service while the block runs."""
    stopping, bus = threading.Event(), connect_bus(settings)
    inboxes = [bus.inbox(service, handlers, f"{service}-{number}") for number in range(workers)]
    threads = []
    for inbox in inboxes:
        worker = Worker(inbox, handlers, settings)
        arguments = (stopping, Pulse(), inbox.prepare, inbox.paused)
        threads.append(threading.Thread(target=worker.run, args=arguments, daemon=True))
    threads += relaying(service, settings, stopping)
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(timeout=10)
        for inbox in inboxes:
            inbox.close()
        assert not any(thread.is_alive() for thread in threads), "a worker did not stop"


def relaying(service: str, settings: Settings, stopping: threading.Event) -> list[threading.Thread]:
    """What the bus runs beside a worker of this service, until `stopping`."""
    loops = connect_bus(settings).beside(service, f"{service}-0")
    return [threading.Thread(target=loop, args=(stopping,), daemon=True) for loop in loops]


def sealed(messages: Sequence[Message], *, time_ms: int | None = None) -> list[Envelope]:
    """Messages in envelopes, as another service would send them now, or at `time_ms`."""
    when = now_ms() if time_ms is None else time_ms
    return [Envelope(message=message, id=new_id(), time_ms=when, producer="test") for message in messages]
