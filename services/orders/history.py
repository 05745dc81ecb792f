"""An order's history: its events from the journal, and the order they fold into."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Engine

from sagashop import journal
from sagashop.bus import Bus
from sagashop.errors import NotFound
from sagashop.journal import JournalRow
from sagashop.messages import Message
from sagashop.saga import Saga
from services.orders import store
from services.orders.domain import EVENTS, Order, evolve

if TYPE_CHECKING:  # workers read histories, too, and load no Flask for it
    from sagashop.web.auth import Who

_decoders = {event.__name__: msgspec.json.Decoder(event) for event in EVENTS}


class NoOrder(NotFound):
    kind, title = "no-order", "There is no such order of yours"


def event_of(row: JournalRow) -> Message:
    """The event in a row of the journal."""
    return event_of_columns(row.type, row.data)


def event_of_columns(kind: str, data: str) -> Message:
    """The event in two columns of a row, for who reads many."""
    return _decoders[kind].decode(data)


def fold(saga: Saga, rows: Iterable[JournalRow]) -> Order | None:
    """The order after these events, from the first on; None where there are none."""
    order = None
    for row in rows:
        order = evolve(saga, order, event_of(row))
    return order


class Orders:
    """Finds orders: in redis-ledger while they are recent, in the journal for good."""

    def __init__(self, bus: Bus, engine: Engine, saga: Saga) -> None:
        self._bus, self._engine, self._saga = bus, engine, saga

    def row(self, order_id: str) -> Order | None:
        """The order as redis-ledger has it; None where it has left, or never was. Raises: Unavailable."""
        return store.read_order(self._bus.load([store.order_key(order_id)]), order_id)

    def rows(self, order_ids: Iterable[str]) -> dict[str, Order]:
        """Those of these orders that redis-ledger has, in one round trip."""
        found = self._bus.load([store.order_key(order_id) for order_id in order_ids])
        orders = (store.read_order(found, order_id) for order_id in order_ids)
        return {order.order_id: order for order in orders if order is not None}

    def find(self, order_id: str) -> Order | None:
        """The order wherever it is. Raises: Unavailable, or sqlalchemy's OperationalError."""
        return self.row(order_id) or fold(self._saga, self.events(order_id))

    def seen_by(self, who: Who, order_id: str) -> Order:
        """The order, if this person may see it.

        Raises:
            NoOrder: it does not exist, or belongs to somebody else; the answer does not tell which
        """
        order = self.find(order_id)
        if order is None or (who.role != "operator" and order.customer_id != who.user_id):
            raise NoOrder(f"Order {order_id[:64]} does not exist, or belongs to somebody else.")
        return order

    def events(self, order_id: str, *, after: int = 0) -> list[JournalRow]:
        """What the journal has of this order beyond a sequence number."""
        with self._engine.connect() as conn:
            return journal.history(conn, store.aggregate(order_id), after=after)

    def events_up_to(self, order: Order, *, within_s: float) -> list[JournalRow]:
        """The order's events, waiting so long for the journal to reach its version; fewer where it has not."""
        deadline, pause_s = time.monotonic() + within_s, 0.02
        rows = self.events(order.order_id)
        while len(rows) < order.version and time.monotonic() < deadline:
            time.sleep(pause_s)
            pause_s = min(0.2, pause_s * 1.5)
            rows += self.events(order.order_id, after=len(rows))
        return rows
