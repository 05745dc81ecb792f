"""What fulfillment can say of its own house: every delivered piece is available, reserved or sold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Engine, select

from contracts.fulfillment import (
    ShipmentBooked,
    ShipmentCancelled,
    ShipmentRequested,
    StockAdjusted,
    StockRejected,
    StockReleased,
    StockReserved,
)
from contracts.orders import Item
from sagashop.audit.elsewhere import Elsewhere
from sagashop.audit.facts import Check, Fact, GoodsFact, Tally
from sagashop.audit.house import House
from sagashop.audit.past import Past
from sagashop.audit.rows import rows_by_id
from sagashop.messages import Message, now_ms
from sagashop.streams.commit import load_rows
from services.fulfillment import store
from services.fulfillment.domain import ENDED, Reservation, Shelf, Status
from services.fulfillment.shipments import Parcels, parcels
from services.fulfillment.store import SERVICE

if TYPE_CHECKING:
    from redis import Redis

STATUS_AFTER: dict[type[Message], Status] = {
    StockReserved: "reserved",
    StockRejected: "rejected",
    StockReleased: "released",
    ShipmentRequested: "shipping",
    ShipmentBooked: "shipped",
    ShipmentCancelled: "recalled",
}
_kinds: list[type[Message]] = [*STATUS_AFTER, StockAdjusted]
_decoders = {kind.__name__: msgspec.json.Decoder(kind) for kind in _kinds}


def house(redis: Redis, engine: Engine, channels: list[str], elsewhere: Sequence[Elsewhere] = ()) -> House:
    """The house as the auditor sees it."""

    def waiting() -> int:
        return int(load_rows(redis, [store.PARCELS])[store.PARCELS].get("waiting", 0))

    return House(
        SERVICE, redis, channels, outbox=waiting, elsewhere=elsewhere,
        examine=lambda: FulfillmentAudit(redis, engine).facts(),
    )  # fmt: skip


@dataclass(slots=True)
class Goods:
    """A reservation as its journal tells it."""

    status: Status = "unknown"
    sequence: int = 0
    items: list[Item] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    last_ms: int = 0


class FulfillmentAudit:
    """Folds every reservation and every shelf from the journal once, then compares."""

    def __init__(self, redis: Redis, engine: Engine) -> None:
        self._redis, self._engine = redis, engine
        self._past = Past(SERVICE, engine, redis, "fulfillment.events")
        self._goods: dict[str, Goods] = {}
        self._delivered: Counter[str] = Counter()
        self._deliveries: Counter[str] = Counter()
        self._readable = Tally("every event can be read")

    def facts(self) -> Iterator[Fact]:
        """Checks, then one fact for each order's goods."""
        for row in self._past.rows():
            self._take(row)
        yield from self._past.checks()
        yield self._readable.check(SERVICE)
        yield self._once()
        yield self._reservation_rows()
        yield self._shelves()
        yield self._past.model_is_current(Parcels())
        yield self._parcels()
        for order_id, goods in self._goods.items():
            items = {item.sku: item.quantity for item in goods.items}
            yield GoodsFact(order_id=order_id, status=goods.status, items=items, events=dict(goods.events))

    def _take(self, row: Any) -> None:
        self._readable.saw()
        try:
            event: Any = _decoders[row.type].decode(row.data)
        except (ValueError, KeyError) as wrong:
            self._readable.found(f"{row.aggregate}, number {row.sequence}, {row.type}: {wrong}")
            return
        if isinstance(event, StockAdjusted):
            self._delivered[event.sku] += event.by
            self._deliveries[event.sku] += 1
            return
        goods = self._goods.setdefault(event.order_id, Goods())
        goods.status, goods.last_ms = STATUS_AFTER[type(event)], row.time_ms
        goods.sequence += 1
        goods.events[row.type] += 1
        if isinstance(event, StockReserved):
            goods.items = event.items

    def _once(self) -> Check:
        tally = Tally("no order's goods are reserved, given back or handed over twice")
        for order_id, goods in self._goods.items():
            tally.saw()
            events = goods.events
            back = events[StockReleased.__name__] + events[ShipmentCancelled.__name__] + events[ShipmentBooked.__name__]
            twice = [name for name, count in events.items() if count > 1]
            if twice or back > 1:
                tally.found(f"order {order_id}: {dict(events)}")
        return tally.check(SERVICE)

    def _reservation_rows(self) -> Check:
        """A reservation that has ended leaves redis-ledger after 30 days."""
        tally, forgotten_ms = Tally("every reservation in redis-ledger is the fold of its journal"), now_ms()
        forgotten_ms -= store.KEEP_ENDED_S * 1000
        for order_id, row in rows_by_id(self._redis, self._goods, store.reservation_key):
            told, kept = self._goods[order_id], store.reservation_from(order_id, row)
            tally.saw()
            if not row and told.status in ENDED and told.last_ms < forgotten_ms:
                continue
            if not _same(kept, told):
                tally.found(
                    f"order {order_id}: {kept.status} at {kept.sequence} in the row, "
                    f"{told.status} at {told.sequence} in the journal"
                )
        return tally.check(SERVICE)

    def _shelves(self) -> Check:
        """Opening and restocking, as the journal has them, are on the shelf; what is reserved and sold has an order."""
        tally = Tally("delivered = available + reserved + sold, on every shelf and in the journal")
        reserved, sold = self._pieces("reserved", "shipping"), self._pieces("shipped")
        skus = sorted({*self._delivered, *reserved, *sold, *load_rows(self._redis, [store.CATALOGUE])[store.CATALOGUE]})
        for sku, row in rows_by_id(self._redis, skus, store.shelf_key):
            kept, delivered = store.shelf_from(sku, row), self._delivered[sku]
            available = delivered - reserved[sku] - sold[sku]
            told = Shelf(sku, available, reserved[sku], sold[sku], delivered, self._deliveries[sku])
            tally.saw()
            if kept != told or available < 0:
                tally.found(f"{sku}: {_pieces(kept)} on the shelf, {_pieces(told)} in the journal")
        return tally.check(SERVICE)

    def _pieces(self, *statuses: Status) -> Counter[str]:
        total: Counter[str] = Counter()
        for goods in self._goods.values():
            if goods.status in statuses:
                for item in goods.items:
                    total[item.sku] += item.quantity
        return total

    def _parcels(self) -> Check:
        tally = Tally("the list of parcels is the fold of the journal")
        with self._engine.connect() as conn:
            listed = set(conn.scalars(select(parcels.c.order_id)))
        left = {order_id for order_id, goods in self._goods.items() if goods.status == "shipped"}
        tally.saw(len(left | listed))
        for order_id in sorted(left ^ listed):
            tally.found(f"order {order_id} is {'listed only' if order_id in listed else 'not listed'}")
        return tally.check(SERVICE)


def _same(kept: Reservation, told: Goods) -> bool:
    if (kept.status, kept.sequence) != (told.status, told.sequence):
        return False
    return kept.status not in {"reserved", "shipping", "shipped"} or kept.items == told.items


def _pieces(shelf: Shelf) -> str:
    return f"{shelf.delivered} = {shelf.available} + {shelf.reserved} + {shelf.sold} (delivery {shelf.sequence})"
