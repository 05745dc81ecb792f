"""A connection to RabbitMQ in a thread of its own: it answers heartbeats whatever the work takes, and comes back.

A connection of pika belongs to one thread and does not reconnect. So here each has a thread that does nothing but its
input and output; everybody else hands it callbacks. What must be done again after a reconnect stands in `opened`.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pika
import structlog
from pika.adapters.utils.connection_workflow import AMQPConnectorException  # of a broker that answers nothing
from pika.exceptions import AMQPConnectionError, AMQPError

from sagashop.errors import NotReachable, SagashopError

log = structlog.get_logger()
logging.getLogger("pika").setLevel(logging.CRITICAL)  # it tells each failure six times; we tell it once

HEARTBEAT_S = 15
BLOCKED_S = 30
"""A broker short of memory or disk stops reading from publishers; the connection is given up after so long."""
CONNECT_TIMEOUT_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0


def parameters(url: str, name: str) -> pika.URLParameters:
    """Where and how to connect; `name` is what the broker's own list of connections shows.

    `?heartbeat=5` in the URL is kept, for tests with short settings.

    Raises:
        NotReachable: the URL is not one of RabbitMQ
    """
    if urlsplit(url).scheme not in {"amqp", "amqps"}:
        raise NotReachable("RABBITMQ_URL is no RabbitMQ URL; it should read amqp://user:password@host:port/")
    made = pika.URLParameters(url)
    made.heartbeat = HEARTBEAT_S if made.heartbeat is None else made.heartbeat
    made.blocked_connection_timeout = made.blocked_connection_timeout or BLOCKED_S
    made.socket_timeout = made.stack_timeout = CONNECT_TIMEOUT_S
    made.connection_attempts, made.retry_delay = 1, 0
    made.client_properties = {"connection_name": name}
    return made


def not_reachable(url: str, why: BaseException | str) -> NotReachable:
    """The error for a broker that does not answer: where, why, and what to do next. No password is in it."""
    at = urlsplit(url)
    return NotReachable(
        f"cannot reach rabbitmq at {at.hostname}:{at.port or 5672} ({_reason(why)}).\n"
        "  The stack is probably not running. Start it with `make up`, or point RABBITMQ_URL at a running server."
    )


@contextmanager
def short_channel(url: str, name: str) -> Iterator[Any]:
    """A blocking channel of this thread for a few commands: declaring, looking. Not for a hot path.

    Raises:
        NotReachable: nobody answers, or the log-in is refused
    """
    try:
        connection = pika.BlockingConnection(parameters(url, name))
    except (AMQPError, AMQPConnectorException, OSError) as why:
        raise not_reachable(url, why) from why
    try:
        yield connection.channel()
    finally:
        with suppress(AMQPError):
            connection.close()


class Pauses:
    """How long to wait before the next attempt: doubled each time up to 2 s, with jitter, until `over` is called."""

    def __init__(self) -> None:
        self._jitter = random.Random()  # noqa: S311 - spreads reconnects, guards nothing
        self._next_s = FIRST_PAUSE_S

    def next_s(self) -> float:
        pause, self._next_s = self._next_s, min(LONGEST_PAUSE_S, self._next_s * 2)
        return pause * self._jitter.uniform(0.5, 1.0)

    def over(self) -> None:
        self._next_s = FIRST_PAUSE_S


class Connection:
    """One connection that is kept up in a thread of its own.

    opened: called in that thread with the pika connection, after every connect; opens the channels
    lost:   called in that thread when a connection that was open is gone, with the reason
    before: called in that thread before every attempt to connect, and may block: declares the topology
    """

    def __init__(self, url: str, name: str, opened: Callable[[Any], None], *,
                 lost: Callable[[BaseException], None] = lambda why: None,
                 before: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        self._url, self.name = url, name
        self._opened, self._lost, self._before = opened, lost, before
        self._pika: Any = None
        self._stopping, self._up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rabbitmq {name}", daemon=True)
        self._starting, self._started = threading.Lock(), False
        self._why: BaseException | str = "not connected yet"
        self._pauses = Pauses()

    def start(self) -> Connection:
        """Begin to connect; returns at once, and may be called from many threads. A second call does nothing."""
        with self._starting:
            if not self._started and not self._stopping.is_set():
                parameters(self._url, self.name)  # a wrong URL is told here, not in the thread
                self._thread.start()
                self._started = True
        return self

    @property
    def is_open(self) -> bool:
        return self._up.is_set()

    def wait_open(self, within_s: float) -> None:
        """Raises: NotReachable, with the last reason, when there is no connection within so many seconds."""
        if not self._up.wait(within_s):
            raise not_reachable(self._url, self._why)

    def call(self, work: Callable[[], None]) -> None:
        """Let the connection's thread do this, soon. What is handed over while the connection breaks may be dropped:
        whoever waits for its outcome waits with a limit.

        Raises:
            NotReachable: there is no connection now
        """
        if not self._up.is_set():
            raise not_reachable(self._url, self._why)
        self._pika.ioloop.add_callback_threadsafe(work)

    def close(self, within_s: float = 5.0) -> None:
        """Close the connection and end the thread; for good."""
        self._stopping.set()
        made = self._pika
        if made is not None:
            with suppress(Exception):
                made.ioloop.add_callback_threadsafe(lambda: self._hang_up(made))
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(within_s)

    @staticmethod
    def _hang_up(made: Any) -> None:
        if made.is_open:
            made.close()
        else:
            made.ioloop.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._before()
                self._live_once()
            except (AMQPError, OSError, SagashopError) as why:
                self._why = why
            except Exception as why:
                log.exception("rabbitmq.callback_failed", connection=self.name)
                self._why = why
            self._over()
            if not self._stopping.is_set():
                pause_s = self._pauses.next_s()
                log.warning("rabbitmq.unreachable", connection=self.name, error=_reason(self._why),
                            again_in_s=round(pause_s, 2))  # fmt: skip
                self._stopping.wait(pause_s)

    def _live_once(self) -> None:
        self._why = "connection closed"
        made = self._pika = pika.SelectConnection(
            parameters(self._url, self.name),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_closed,
            on_close_callback=self._on_closed,
        )
        if self._stopping.is_set():  # close() came before there was a connection to close
            made.ioloop.add_callback_threadsafe(lambda: self._hang_up(made))
        try:
            made.ioloop.start()
        finally:
            with suppress(Exception):
                made.ioloop.close()

    def _on_open(self, made: Any) -> None:
        self._opened(made)
        self._pauses.over()
        self._up.set()
        log.info("rabbitmq.connected", connection=self.name)

    def _on_closed(self, made: Any, why: BaseException) -> None:
        self._why = why
        made.ioloop.stop()

    def _over(self) -> None:
        was_up = self._up.is_set()
        self._up.clear()
        self._pika = None
        if was_up:
            self._lost(self._why if isinstance(self._why, BaseException) else AMQPConnectionError(self._why))


def _reason(why: BaseException | str) -> str:
    """The shortest true words: pika nests the real error several levels deep."""
    while isinstance(why, BaseException):
        inside = [*why.args, getattr(why, "exception", None), *getattr(why, "exceptions", ())]
        inner = next((each for each in inside if isinstance(each, BaseException)), None)
        if inner is None:
            break
        why = inner
    if isinstance(why, AMQPError) and len(why.args) == 2:  # code and text, as the broker says them
        return str(why.args[1])
    return "connection refused" if "refused" in str(why).lower() else str(why) or type(why).__name__
