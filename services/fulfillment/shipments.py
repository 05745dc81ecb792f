"""Parcels: the ledger knows the recent ones, a read model in SQL those that the ledger has forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, MetaData, String, Table, Text, select

from contracts.fulfillment import ShipmentBooked
from contracts.orders import Item
from sagashop.journal import JournalRow
from services.fulfillment import store
from services.fulfillment.domain import Reservation, shipment_id_of
from services.fulfillment.stockroom import Stockroom

parcels = Table(
    "parcels",
    MetaData(),
    Column("order_id", String(64), primary_key=True),
    Column("customer_id", String(64), nullable=False, index=True),
    Column("shipment_id", String(80), nullable=False),
    Column("tracking", String(32), nullable=False),
    Column("items", Text, nullable=False),
    Column("booked_ms", BigInteger, nullable=False),
)

ParcelStatus = Literal["shipping", "shipped", "recalled"]

_items = msgspec.json.Decoder(list[Item])
_booked = msgspec.json.Decoder(ShipmentBooked)


class ShipmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel. shipping: it waits for the carrier; shipped: the carrier has it; recalled: it was unpacked again."""

    order_id: str
    customer_id: str
    shipment_id: str
    status: ParcelStatus
    tracking: str | None
    items: list[Item]


class Parcels:
    """Read model: every parcel that left."""

    name: str = "parcels"
    version: int = 1
    tables: Sequence[Table] = (parcels,)

    def apply(self, conn: Connection, rows: Sequence[JournalRow]) -> None:
        """Take new events in."""
        left = [(row, _booked.decode(row.data)) for row in rows if row.type == ShipmentBooked.__name__]
        if left:
            conn.execute(parcels.insert(), [_columns(row, event) for row, event in left])


class Shipments:
    """Finds the parcel of an order."""

    def __init__(self, stockroom: Stockroom, engine: Engine) -> None:
        self._stockroom, self._engine = stockroom, engine

    def find(self, order_id: str) -> ShipmentView | None:
        """The parcel of this order; None where none was ever asked for.

        Raises:
            Unavailable: Redis does not answer.
            sqlalchemy.exc.OperationalError: the SQL database does not.
        """
        reservation = self._stockroom.reservation(order_id)
        if reservation.status == "unknown":
            return self._long_ago(order_id)
        return _recent(reservation) if reservation.customer_id else None

    def _long_ago(self, order_id: str) -> ShipmentView | None:
        with self._engine.connect() as conn:
            row = conn.execute(select(parcels).where(parcels.c.order_id == order_id)).mappings().first()
        if row is None:
            return None
        return ShipmentView(
            order_id=order_id,
            customer_id=row["customer_id"],
            shipment_id=row["shipment_id"],
            status="shipped",
            tracking=row["tracking"],
            items=_items.decode(row["items"]),
        )


def _recent(reservation: Reservation) -> ShipmentView:
    return ShipmentView(
        order_id=reservation.order_id,
        customer_id=reservation.customer_id,
        shipment_id=shipment_id_of(reservation.order_id),
        status=cast(ParcelStatus, reservation.status),
        tracking=reservation.tracking or None,
        items=reservation.items,
    )


def _columns(row: JournalRow, event: ShipmentBooked) -> dict[str, object]:
    return {
        "order_id": event.order_id,
        "customer_id": event.customer_id,
        "shipment_id": event.shipment_id,
        "tracking": event.tracking,
        "items": store.as_json(event.items),
        "booked_ms": row.time_ms,
    }
