"""Results that are files: rows of the service's own SQL database, in parts, so that none is held in memory whole.

A document counts once its row is there, and is reached only through the task that names it. What a worker made that
lost its lease is dropped at once, and what one left that died is swept away when its time is over.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import msgspec
import structlog
from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, MetaData, String, Table, select
from sqlalchemy.exc import SQLAlchemyError

from sagashop.messages import now_ms
from sagashop.tasks.task import KEEP_ENDED_S

PART_BYTES = 256 * 1024
SWEEP_EVERY_S, AGAIN_S = 60.0, 1.0

log = structlog.get_logger()
metadata = MetaData()

documents = Table(
    "documents",
    metadata,
    Column("document_id", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("media_type", String(128), nullable=False),
    Column("size", BigInteger, nullable=False),
)

parts = Table(
    "document_parts",
    metadata,
    Column("document_id", String(64), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("expires_ms", BigInteger, nullable=False, index=True),
    Column("data", LargeBinary(PART_BYTES), nullable=False),
)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file. `name` is what a browser saves it as: letters, digits, `.` and `-`; `size` in bytes."""

    document_id: str
    name: str
    media_type: str
    size: int


class Documents:
    """The documents of one service. `keep_s`: a little longer than the row of the task that leads to them."""

    def __init__(self, engine: Engine, keep_s: int = KEEP_ENDED_S + 3600) -> None:
        self._engine, self._keep_ms = engine, keep_s * 1000

    def prepare(self) -> None:
        """Make the tables that are missing."""
        metadata.create_all(self._engine)

    def write(self, document_id: str, name: str, media_type: str, chunks: Iterable[bytes]) -> Document:
        """Store a file, each part in a transaction of its own; what stood under this id before is replaced."""
        self.drop(document_id)
        size, expires_ms = 0, now_ms() + self._keep_ms
        for number, data in enumerate(_in_parts(chunks)):
            with self._engine.begin() as conn:
                conn.execute(parts.insert().values(
                    document_id=document_id, part=number, expires_ms=expires_ms, data=data))  # fmt: skip
            size += len(data)
        document = Document(document_id=document_id, name=name, media_type=media_type, size=size)
        with self._engine.begin() as conn:
            conn.execute(documents.insert().values(msgspec.structs.asdict(document)))
        return document

    def find(self, document_id: str) -> Document | None:
        """A complete document; None where there is none."""
        with self._engine.connect() as conn:
            row = conn.execute(select(documents).where(documents.c.document_id == document_id)).mappings().first()
        return Document(**row) if row else None

    def read(self, document_id: str) -> Iterator[bytes]:
        """Its bytes, part by part."""
        for number in range(2**31):
            here = (parts.c.document_id == document_id) & (parts.c.part == number)
            with self._engine.connect() as conn:
                data = conn.scalar(select(parts.c.data).where(here))
            if data is None:
                return
            yield bytes(data)

    def drop(self, document_id: str) -> None:
        """Remove it, and what there is of it."""
        with self._engine.begin() as conn:
            for table in (documents, parts):
                conn.execute(table.delete().where(table.c.document_id == document_id))

    def sweep(self) -> int:
        """Remove what is over; how many documents that were, the unfinished ones included."""
        with self._engine.connect() as conn:
            over = list(conn.scalars(select(parts.c.document_id).where(parts.c.expires_ms < now_ms()).distinct()))
        for document_id in over:
            self.drop(document_id)
        return len(over)

    def look_after(self, stopping: threading.Event) -> None:
        """Make the tables, then sweep once a minute, until the event is set; what the database refuses is tried again.

        A task that comes before the tables are there waits for them, as for any server that is away.
        """
        pause_s = 0.0
        while not stopping.wait(pause_s):
            try:
                self.prepare()
                self.sweep()
                pause_s = SWEEP_EVERY_S
            except SQLAlchemyError as why:
                log.warning("documents.waiting", error=str(why))
                pause_s = AGAIN_S


def _in_parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of the size of a part; an empty file is one empty part."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) > PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    yield bytes(held)
