"""The books in SQL: a read model of the journal that can be dropped and rebuilt at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    case,
    func,
    select,
)  # fmt: skip

from sagashop.journal import JournalRow, history
from services.payments.ledger import TRANSFERS, Account, Event, Place, Posting, aggregate, fold
from services.payments.ledger import postings as postings_of

table = Table(
    "postings",
    MetaData(),
    Column("customer_id", String(64), primary_key=True),
    Column("sequence", Integer, primary_key=True, comment="of the event, in the history of the customer's account"),
    Column("place", String(16), primary_key=True),
    Column("account", String(128), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("order_id", String(64), nullable=False),
    Column("type", String(64), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("entry_id", String(64), nullable=False),
    Index("postings_by_place", "place", "amount_cents"),
)

_by_place = select(table.c.place, func.sum(table.c.amount_cents).label("cents")).group_by(table.c.place)
_decoders = {kind.__name__: msgspec.json.Decoder(kind) for kind in TRANSFERS}


class Postings:
    """The read model; see sagashop.projector.ReadModel."""

    name = "postings"
    version = 1
    tables: Sequence[Table] = (table,)

    def apply(self, conn: Connection, rows: Sequence[JournalRow]) -> None:
        """Write the two sides of each event that moves money."""
        found = [_columns(row, posting) for row in rows for posting in postings_of(event_of(row))]
        if found:
            conn.execute(table.insert(), found)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of a customer's account. `available_cents` is what was available just after it."""

    sequence: int
    time_ms: int
    type: str
    order_id: str
    available_change_cents: int
    held_change_cents: int
    available_cents: int


def event_of(row: JournalRow) -> Event:
    """The event in a row of the journal."""
    return _decoders[row.type].decode(row.data)


def rebuilt(conn: Connection, customer_id: str) -> Account:
    """The account as the journal alone tells it, from zero."""
    return fold(Account(customer_id), map(event_of, history(conn, aggregate(customer_id))))


def totals(conn: Connection) -> dict[Place, int]:
    """Cents by place, over all customers."""
    sums = {row.place: int(row.cents) for row in conn.execute(_by_place)}
    return {place: sums.get(place, 0) for place in Place}


def statement(conn: Connection, customer_id: str, *, before: int | None, limit: int) -> list[Line]:
    """Up to `limit` movements, the newest first; only those before this sequence number where it is given."""
    own = (table.c.customer_id == customer_id) & table.c.place.in_([Place.AVAILABLE, Place.HELD])
    query = (
        select(
            table.c.sequence,
            func.min(table.c.time_ms).label("time_ms"),
            func.min(table.c.type).label("type"),
            func.min(table.c.order_id).label("order_id"),
            _sum(Place.AVAILABLE).label("available"),
            _sum(Place.HELD).label("held"),
        )
        .where(own if before is None else own & (table.c.sequence < before))
        .group_by(table.c.sequence)
        .order_by(table.c.sequence.desc())
        .limit(limit)
    )
    found = conn.execute(query).all()
    if not found:
        return []
    newest = select(_sum(Place.AVAILABLE)).where(own & (table.c.sequence <= found[0].sequence))
    return list(_lines(found, int(conn.execute(newest).scalar_one())))


def _lines(found: Sequence[Any], available_cents: int) -> Iterator[Line]:
    """From the newest balance backwards: before a movement there was that much less."""
    for row in found:
        yield Line(
            sequence=row.sequence,
            time_ms=row.time_ms,
            type=row.type,
            order_id=row.order_id,
            available_change_cents=int(row.available),
            held_change_cents=int(row.held),
            available_cents=available_cents,
        )
        available_cents -= int(row.available)


def _sum(place: Place) -> ColumnElement[int]:
    return func.sum(case((table.c.place == place, table.c.amount_cents), else_=0))


def _columns(row: JournalRow, posting: Posting) -> dict[str, object]:
    order_id = getattr(event_of(row), "order_id", "")
    return {
        "customer_id": posting.customer_id,
        "sequence": row.sequence,
        "place": posting.place.value,
        "account": posting.account,
        "amount_cents": posting.amount_cents,
        "order_id": order_id,
        "type": row.type,
        "time_ms": row.time_ms,
        "entry_id": row.entry_id,
    }
