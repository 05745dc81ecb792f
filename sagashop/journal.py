"""The journal: every event of a service's aggregates in SQL, append-only, never dropped.

Read models and aggregates are rebuilt from it.
Only the projector (sagashop/projector.py) writes it; web processes read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
)  # fmt: skip

metadata = MetaData()

journal = Table(
    "journal",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("entry_id", String(64), nullable=False),
    Column("aggregate", String(128), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("data", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("producer", String(64), nullable=False),
    Column("trace", String(64), nullable=False, default=""),
    UniqueConstraint("aggregate", "sequence"),
)

positions = Table(
    "journal_positions",
    metadata,
    Column("channel", String(128), primary_key=True),
    Column("entry_id", String(64), nullable=False),
)

read_models = Table(
    "read_models",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
)


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event as the journal keeps it; `data` is the message's JSON. The limits are those of the columns."""

    entry_id: str
    aggregate: Annotated[str, Meta(min_length=1, max_length=128)]
    sequence: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    type: Annotated[str, Meta(min_length=1, max_length=64)]
    data: str
    time_ms: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    producer: Annotated[str, Meta(max_length=64)]
    trace: Annotated[str, Meta(max_length=64)] = ""
    id: int = 0


def history(conn: Connection, aggregate: str, *, after: int = 0) -> list[JournalRow]:
    """The events of one aggregate after this sequence number, in order."""
    wanted = journal.c.aggregate == aggregate, journal.c.sequence > after
    return [_row(row) for row in conn.execute(select(journal).where(*wanted).order_by(journal.c.sequence)).mappings()]


def pages(conn: Connection, *, size: int = 1000) -> Iterator[list[JournalRow]]:
    """The whole journal in its order, page by page."""
    after = 0
    while True:
        query = select(journal).where(journal.c.id > after).order_by(journal.c.id).limit(size)
        page = [_row(row) for row in conn.execute(query).mappings()]
        if not page:
            return
        yield page
        after = page[-1].id


def request_rebuild(engine: Engine, name: str) -> None:
    """Ask the projector to build this read model anew; readers keep the old one until the new one is complete."""
    with engine.begin() as conn:
        conn.execute(read_models.delete().where(read_models.c.name == name))


def _row(row: Any) -> JournalRow:
    return JournalRow(**row)
