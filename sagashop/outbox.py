"""The SQL outbox: a message is stored in the transaction that changes the rows; a relay hands it to the bus afterwards.

    with engine.begin() as conn:
        conn.execute(products.update()...)
        outbox.add(conn, outbox.wrap(ProductPriced(...), "storefront"))

Delivery: at least once. The relay deletes a row only after the bus has it; a crash in between publishes it again, with
the same id. One relay per database keeps the order in which transactions that wait for each other commit, as two
changes of the same row do. On MySQL those that overlap and touch different rows may come in either order.
"""

from __future__ import annotations

import threading
from typing import Protocol

import redis
import sqlalchemy as sa
import structlog

from sagashop import log as logs
from sagashop import sql
from sagashop.errors import NotReachable, Unavailable
from sagashop.messages import Catalogue, Envelope, Message, new_id, now_ms

NAME = "outbox"

log = structlog.get_logger()


class Publisher(Protocol):
    """The part of the bus that the relay needs."""

    def publish(self, messages: list[Envelope], /) -> None: ...


def columns() -> list[sa.Column[object]]:
    """The columns of the table, for `op.create_table(outbox.NAME, *outbox.columns(), sqlite_autoincrement=True)`."""
    return [
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("producer", sa.String(64), nullable=False),
        sa.Column("trace", sa.String(64), nullable=False),
        sa.Column("aggregate", sa.String(128), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
    ]


def define(metadata: sa.MetaData) -> sa.Table:
    """The table in a service's own metadata."""
    return sa.Table(NAME, metadata, *columns(), sqlite_autoincrement=True)


TABLE = define(sa.MetaData())


def wrap(message: Message, producer: str) -> Envelope:
    """A message made now, with a new id and the trace of the request that is being served."""
    return Envelope(message=message, id=new_id(), time_ms=now_ms(), producer=producer, trace=logs.current("trace"))


def add(conn: sa.Connection, *envelopes: Envelope) -> None:
    """Store messages in the caller's transaction: they are published if it commits, and never if it does not."""
    if envelopes:
        conn.execute(TABLE.insert(), [_row(envelope) for envelope in envelopes])


class Relay:
    """Moves the rows of one database's outbox to the bus, the oldest of those that are committed first.

    types: every message type this service puts into its outbox
    batch: rows per step
    """

    def __init__(self, engine: sa.Engine, bus: Publisher, types: list[type[Message]], batch: int = 200) -> None:
        self._engine, self._bus, self._batch = engine, bus, batch
        self._catalogue = Catalogue(types)

    def step(self) -> int:
        """Publish the oldest rows, then delete them; how many there were.

        Raises:
            MalformedMessage: a row's type is not among `types`; nothing is skipped, so the relay stands until it is
            Unavailable:      the bus does not take them; the rows stay
        """
        with self._engine.connect() as conn:
            rows = conn.execute(sa.select(TABLE).order_by(TABLE.c.id).limit(self._batch)).mappings().all()
        if not rows:
            return 0
        self._bus.publish([self._catalogue.open(_fields(row)) for row in rows])
        with self._engine.begin() as conn:
            # By id, not "up to the last": a transaction with a lower id may have committed since.
            conn.execute(TABLE.delete().where(TABLE.c.id.in_([row["id"] for row in rows])))
        return len(rows)

    def run(self, stopping: threading.Event, poll_s: float = 0.1) -> None:
        """Relay until `stopping`: every `poll_s` when there is nothing, each second while bus or database is away."""
        while not stopping.is_set():
            try:
                moved = self.step()
            except (Unavailable, NotReachable, redis.RedisError, *sql.GONE) as why:
                log.warning("outbox.waiting", reason=str(why))
                stopping.wait(1.0)
                continue
            if moved < self._batch:
                stopping.wait(poll_s)


def _row(envelope: Envelope) -> dict[str, object]:
    fields = envelope.fields()
    return {
        "message_id": fields["id"],
        "type": fields["type"],
        "version": int(fields["version"]),
        "channel": envelope.message.channel,
        "data": fields["data"],
        "time_ms": envelope.time_ms,
        "producer": envelope.producer,
        "trace": envelope.trace,
        "aggregate": envelope.aggregate,
        "sequence": envelope.sequence,
    }


def _fields(row: sa.RowMapping) -> dict[str, str]:
    """The wire fields of a row, which a catalogue opens."""
    fields = {name: str(value) for name, value in row.items() if name not in {"id", "message_id", "channel"}}
    return {**fields, "id": row["message_id"]}
