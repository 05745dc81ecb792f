"""Events of an order as they happen (SSE), in a process of their own, so that open streams never take an API thread.

`gunicorn -k gevent --keep-alive 0 'services.orders.live:create()'`

Without keep-alive, since a connection that idles after its stream would hold up the end of the process.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType

from flask import Blueprint, Flask, Response, request

from sagashop import redis_clients, sql
from sagashop import settings as env
from sagashop.bus import connect_bus
from sagashop.errors import NotLoggedIn, Unavailable
from sagashop.sessions import Sessions
from sagashop.tasks.desk import Tasks
from sagashop.tasks.live import Streams, tasks_live
from sagashop.web.app import create_app
from sagashop.web.auth import require_login
from sagashop.web.inputs import Answer, accepts, invalid
from services.orders.domain import SETTLED, Order, OrderStatus
from services.orders.feed import Event, Feed, Watcher
from services.orders.history import NoOrder, Orders
from services.orders.messages import PREFIX
from services.orders.settings import OrdersSettings

RETRY_MS = 2_000
"""A browser whose stream has ended connects again after so long, with the id of the last event it has seen."""
JOURNAL_PAUSES_S = (0.05, 1.0)
"""The journal is asked for a missing event after the first, then at growing distances up to the second."""


def create(settings: OrdersSettings | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(OrdersSettings)
    bus, engine = connect_bus(settings), sql.engine(settings.database_url)
    ledger, session = redis_clients.ledger(settings), redis_clients.session(settings)
    feed = Feed(ledger, redis_clients.blocking(settings), settings.live_connections)
    tasks = Tasks(bus, "orders")
    streams = Streams(
        tasks, limit=settings.live_connections, heartbeat_s=settings.live_heartbeat_s, longest_s=settings.live_max_s
    )
    _end_streams_on_stop(feed.close, streams.close)
    return create_app(
        "orders",
        settings,
        blueprints=[live(feed, Orders(bus, engine, settings.saga), settings), tasks_live(tasks, streams, PREFIX)],
        checks={
            "redis-ledger": redis_clients.check("redis-ledger", ledger),
            "redis-session": redis_clients.check("redis-session", session),
            "database": sql.check(engine),
        },
        sessions=Sessions(session, settings.session_ttl_s, settings.session_max_s),
    )


def live(feed: Feed, orders: Orders, settings: OrdersSettings) -> Blueprint:
    """The event stream."""
    routes = Blueprint("live", __name__)

    @routes.get("/api/orders/<order_id>/events")
    @accepts(problems=[NotLoggedIn, NoOrder])
    def events(order_id: str) -> Answer:
        """Every event of an order from the first, or after `Last-Event-ID`, and then as they come."""
        who, after = require_login(), _last_event_id()
        with ExitStack() as leaving:
            watcher = feed.subscribe(order_id)
            leaving.callback(feed.unsubscribe, order_id, watcher)
            order = orders.seen_by(who, order_id)  # after subscribing: its version covers what the watcher is not told
            if is_over(order) and after >= order.version:
                return Response(status=204)  # which tells a browser not to come again
            story = Story(orders, order, watcher, after, settings)
            response = Response(story.told(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})
            response.call_on_close(leaving.pop_all().close)
            return response

    return routes


def _end_streams_on_stop(*close: Callable[[], None]) -> None:
    """Gunicorn asks to stop with SIGTERM and waits for open requests; a stream would hold it up until it is killed."""
    gunicorns = signal.getsignal(signal.SIGTERM)
    if callable(gunicorns):  # nobody's own in a test

        def stop(number: int, frame: FrameType | None) -> None:
            for let_go in close:
                let_go()
            gunicorns(number, frame)

        signal.signal(signal.SIGTERM, stop)


def is_over(order: Order) -> bool:
    """Nothing more is expected: the order ended without a delivery, or is completed and its parcel has left."""
    return order.status in SETTLED and (order.status is not OrderStatus.COMPLETED or bool(order.tracking))


class Story:
    """One visitor's stream: each event once and in sequence, from the watcher or, where that has a gap, the journal."""

    def __init__(self, orders: Orders, order: Order, watcher: Watcher, after: int, settings: OrdersSettings) -> None:
        self._orders, self._order, self._watcher, self._told = orders, order, watcher, after
        self._known = order.version
        self._heartbeat_s = settings.live_heartbeat_s
        self._ends = time.monotonic() + settings.live_max_s

    def told(self) -> Iterator[str]:
        """The stream's text, until the order is over, the visitor is too slow, or the time is up."""
        yield f"retry: {RETRY_MS}\n\n"
        while not self._watcher.dropped and time.monotonic() < self._ends:
            beat = min(self._ends, time.monotonic() + self._heartbeat_s)
            yield from self._until(beat)
            yield ": still here\n\n"
            self._look_again()
            if is_over(self._order) and self._told >= self._known:
                return

    def _until(self, beat: float) -> Iterator[str]:
        pause_s, longest_s = JOURNAL_PAUSES_S
        while (left_s := beat - time.monotonic()) > 0 and not self._watcher.dropped:
            if self._told < self._known:
                yield from self._from_journal()
            missing = self._told < self._known
            event = self._watcher.next(min(pause_s, left_s) if missing else left_s)
            pause_s = min(longest_s, pause_s * 2) if missing else JOURNAL_PAUSES_S[0]
            if event is None or event.sequence <= self._told:
                continue
            self._known = max(self._known, event.sequence)
            if event.sequence == self._told + 1:
                yield self._tell(event)

    def _from_journal(self) -> Iterator[str]:
        for row in self._orders.events(self._order.order_id, after=self._told):
            yield self._tell(Event(row.sequence, row.type, row.data, row.time_ms))

    def _look_again(self) -> None:
        """The order's row heals whatever the feed has missed."""
        try:
            self._order = self._orders.find(self._order.order_id) or self._order
        except Unavailable:
            return
        self._known = max(self._known, self._order.version)

    def _tell(self, event: Event) -> str:
        self._told = event.sequence
        data = f'{{"sequence":{event.sequence},"time_ms":{event.time_ms},{event.data[1:]}'
        return f"id: {event.sequence}\nevent: {event.type}\ndata: {data}\n\n"


def _last_event_id() -> int:
    given = request.headers.get("Last-Event-ID", "")
    if not given:
        return 0
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise invalid("Last-Event-ID", "the id of an event of this order, a whole number")
    return int(given)
