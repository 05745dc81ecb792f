"""A worker process: read, load, decide, commit, in micro-batches; and nothing is ever acknowledged and forgotten.

Delivery guarantee: a handler sees each message at least once, its effects take hold exactly once (streams/commit.lua).
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError, ResponseError

from sagashop import buses, redis_clients
from sagashop import log as logging
from sagashop.batch import chained
from sagashop.bus import Bus, Delivery, Inbox, connect_bus
from sagashop.effects import Effects, apply_to
from sagashop.errors import MalformedMessage, NotReachable, SagashopError
from sagashop.health import Pulse, serve_health
from sagashop.messages import Envelope
from sagashop.process import collect_rarely, stop_on_signals
from sagashop.streams.retention import own_channels, trimmer

if TYPE_CHECKING:
    from sagashop.handlers import Handlers
    from sagashop.settings import Settings

log = structlog.get_logger()

BLOCK_MS = 500
RETRIES_EVERY_S = 1.0
TIMERS_EVERY_S = 0.05
CONFLICT_ROUNDS = 20
Opened = tuple[Delivery, Envelope]
BROKER_ERRORS = (RedisError, OSError, NotReachable)


class Worker:
    """The loop of one consumer. `step` is one round; `run` repeats it until told to stop, and survives its broker."""

    def __init__(self, inbox: Inbox, handlers: Handlers, settings: Settings) -> None:
        self._inbox, self._handlers, self._settings = inbox, handlers, settings
        self._catalogue = handlers.catalogue
        self._next_retries = self._next_timers = 0.0

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Handle what is due and what is new; how many deliveries that was."""
        handled = 0
        if time.monotonic() >= self._next_retries:
            self._next_retries = time.monotonic() + min(RETRIES_EVERY_S, self._settings.visibility_s)
            for delivery in self._inbox.retries(self._settings.batch_size):
                self.handle([delivery])  # alone: a message that kills its worker takes no other with it
                handled += 1
        fresh = self._inbox.read(self._settings.batch_size, block_ms)
        self.handle(fresh)
        if time.monotonic() >= self._next_timers:
            self._next_timers = time.monotonic() + TIMERS_EVERY_S
            handled += self._inbox.fire_timers()
        return handled + len(fresh)

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Decide and commit a batch. Conflicts decide again on fresh state; a failure leaves its entry pending."""
        todo = self._open(deliveries)
        for _ in range(CONFLICT_ROUNDS):
            if not todo:
                return
            conflicts = self._inbox.commit(self._decide(todo))
            entries = {(delivery.source, delivery.entry) for delivery in conflicts}
            todo = [(d, envelope) for d, envelope in todo if (d.source, d.entry) in entries]
        for delivery, _ in todo:
            log.warning("entry.contended", stream=delivery.source, entry=delivery.entry)

    def _open(self, deliveries: Sequence[Delivery]) -> list[Opened]:
        opened, foreign = [], []
        for delivery in deliveries:
            if delivery.attempt > self._settings.max_deliveries:
                self._inbox.set_aside(delivery, "given up: the worker died or was lost at every attempt", "")
            elif self._is_foreign(delivery):
                foreign.append(delivery)
            else:
                try:
                    opened.append((delivery, self._catalogue.open(delivery.fields)))
                except MalformedMessage as wrong:
                    self._inbox.set_aside(delivery, f"malformed: {wrong}", traceback.format_exc())
        if foreign:
            self._inbox.skip(foreign)
        return opened

    def _is_foreign(self, delivery: Delivery) -> bool:
        """A message, but not one for us; on a channel that only we read there is no such thing."""
        fields = delivery.fields
        return not delivery.addressed and {"type", "data"} <= fields.keys() and fields["type"] not in self._catalogue

    def _decide(self, todo: Sequence[Opened]) -> list[tuple[Delivery, Effects, str]]:
        """Decide one after the other on rows loaded at once; each decision sees what the ones before it will write."""
        wanted: list[str] = []
        ready: list[Opened] = []
        for delivery, envelope in todo:
            try:
                wanted += self._handlers.keys(envelope.message)
                ready.append((delivery, envelope))
            except Exception as error:
                self._failed(delivery, error)
        rows, decided = self._inbox.load(wanted), []
        for delivery, envelope in ready:
            try:
                effects = self._handlers.decide(envelope, rows)
                apply_to(effects, rows)
            except BROKER_ERRORS:
                raise  # a server that the handler needs is away: nobody's fault, so the loop waits and nothing counts
            except Exception as error:
                self._failed(delivery, error)
            else:
                decided.append((delivery, effects, envelope.trace))
        linked = chained([effects for _, effects, _ in decided])
        return [(delivery, effects, trace) for (delivery, _, trace), effects in zip(decided, linked, strict=True)]

    def _failed(self, delivery: Delivery, error: Exception) -> None:
        details = "".join(traceback.format_exception(error))
        if delivery.attempt >= self._settings.max_deliveries:
            self._inbox.set_aside(delivery, f"{type(error).__name__}: {error}", details)
        else:
            log.warning("entry.failed", stream=delivery.source, entry=delivery.entry, attempt=delivery.attempt,
                        error=f"{type(error).__name__}: {error}", traceback=details)  # fmt: skip

    def run(
        self, stopping: threading.Event, pulse: Pulse, prepare: Callable[[], None], paused: Callable[[], bool]
    ) -> None:
        """Loop until `stopping`. A broker error pauses the loop, up to 2 s at a time, and counts against no message."""
        delay_s, prepared = 0.1, False
        while not stopping.is_set():
            try:
                if not prepared:
                    prepare()
                    prepared = True
                if paused():
                    stopping.wait(0.5)
                else:
                    self.step()
                    stopping.wait(self._settings.linger_ms / 1000)
                pulse.beat()
                delay_s = 0.1
            except BROKER_ERRORS as error:
                prepared = False  # a server that came back empty has lost its groups and scripts
                lost = isinstance(error, ResponseError) and "NOGROUP" in str(error)
                log.error("group.lost" if lost else "broker.unreachable", error=str(error), again_in_s=delay_s)
                stopping.wait(delay_s)
                delay_s = min(2.0, delay_s * 2)


def run(service: str, settings: Settings, make_handlers: Callable[[], Handlers], *,
        needs: Sequence[Callable[[], None]] = (),
        beside: Sequence[Callable[[threading.Event], None]] = ()) -> int:  # fmt: skip
    """The main of a worker process; returns its exit status.

    needs:  checks of further servers that the handlers use; nothing is read while one of them raises
    beside: loops that run in threads of their own until the event is set (an outbox relay, further retention)
    """
    logging.configure(service, settings.log_level, settings.log_format)
    stopping, pulse, handlers = threading.Event(), Pulse(), make_handlers()
    stop_on_signals(stopping)
    bus: Bus = connect_bus(settings)
    inbox = bus.inbox(service, handlers, settings.worker_name)
    trim = trimmer(settings, own_channels(service), groups=[service])
    loops = (inbox.tend, trim, *bus.beside(service, settings.worker_name), *beside)
    crashed = threading.Event()
    threads = [threading.Thread(target=run_beside, args=(loop, stopping, crashed), daemon=True) for loop in loops]

    claimed = buses.claim(redis_clients.ledger(settings), service, settings.bus)

    def prepare() -> None:
        for check in (claimed, inbox.prepare, *needs):
            check()

    with serve_health(settings.bind_host, settings.health_port, pulse):
        for thread in threads:
            thread.start()
        collect_rarely()
        log.info("worker.started", consumer=settings.worker_name, channels=handlers.channels)
        Worker(inbox, handlers, settings).run(stopping, pulse, prepare, inbox.paused)
        inbox.close()
        for thread in threads:
            thread.join(timeout=5)
    log.info("worker.stopped")
    return 1 if crashed.is_set() else 0


def run_beside(loop: Callable[[threading.Event], None], stopping: threading.Event, crashed: threading.Event) -> None:
    """Run a loop beside the worker; if it ends with an error, so does the process, to be started anew."""
    try:
        loop(stopping)
    except Exception:
        log.exception("worker.loop_crashed")
        crashed.set()
        stopping.set()


def main(start: Callable[[], int]) -> None:
    """Run a process main; an error of ours ends it with one clear line instead of a traceback."""
    try:
        raise SystemExit(start())
    except SagashopError as error:
        raise SystemExit(f"sagashop: {error}") from None
