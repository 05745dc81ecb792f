"""The projector: moves a service's events from its stream into the SQL journal and keeps the read models current.

Rows, read models and the position in the stream are written in one SQL transaction. SQL is what counts: reading goes on
from there, so a crash repeats nothing and loses nothing. The group `<service>-journal` follows behind, to show how far
the journal is and to keep what it still needs from being trimmed. One projector per service; a second one fails at the
position it did not expect.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from sagashop import keys, redis_clients, sql
from sagashop import log as logging
from sagashop.errors import MalformedMessage, SagashopError
from sagashop.health import Pulse, serve_health
from sagashop.journal import JournalRow, journal, metadata, pages, positions, read_models
from sagashop.process import collect_rarely, stop_on_signals
from sagashop.streams.bookmark import Bookmark
from sagashop.streams.commit import Scripts
from sagashop.streams.dead_letters import letter_fields
from sagashop.streams.retention import trimmer

if TYPE_CHECKING:
    from sagashop.settings import Settings

log = structlog.get_logger()
BLOCK_MS = 500
BATCH = 500
FIELDS = ("aggregate", "sequence", "type", "data", "time_ms", "producer", "trace")
Entry = tuple[str, dict[str, str]]


class ReadModel(Protocol):
    """A view of the journal in SQL that can be dropped and rebuilt at any time.

    name, version: a new version makes the projector rebuild it at start
    tables:        what it owns; dropped and made again by a rebuild
    """

    name: str
    version: int
    tables: Sequence[Table]

    def apply(self, conn: Connection, rows: Sequence[JournalRow]) -> None:
        """Take these events in, in order. Each event comes once."""


class LostPosition(SagashopError):
    """Another projector moved the position; this one starts again from what SQL says."""


class Projector:
    """Reads the service's own event streams; its bookmark there is the group `<service>-journal`."""

    def __init__(self, service: str, settings: Settings, engine: Engine, channels: Sequence[str],
                 models: Sequence[ReadModel]) -> None:  # fmt: skip
        self.service, self.group = service, f"{service}-journal"
        self._engine, self._models = engine, models
        self._streams = {keys.stream(channel): channel for channel in channels}
        self._redis, self._blocking = redis_clients.ledger(settings), redis_clients.blocking(settings)
        self._scripts = Scripts(self._redis)
        self._bookmarks = {stream: Bookmark(self._redis, stream, self.group) for stream in self._streams}
        self._position: dict[str, str] = {}
        self._linger_s = settings.linger_ms / 1000

    def prepare(self) -> None:
        """Make tables and groups that are missing, and go to the position in SQL."""
        metadata.create_all(self._engine)
        with sql.writing(self._engine) as conn:
            known = {row.channel: row.entry_id for row in conn.execute(select(positions))}
            for channel in set(self._streams.values()) - known.keys():
                known[channel] = "0-0"
                conn.execute(positions.insert().values(channel=channel, entry_id="0-0"))
        for stream, channel in self._streams.items():
            self._position[channel] = known[channel]
            self._bookmarks[stream].open(known[channel])

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Rebuild what is asked for, then move one batch; how many entries that was."""
        self._rebuild_where_needed()
        places: dict[Any, Any] = {stream: self._position[channel] for stream, channel in self._streams.items()}
        answer: Any = self._blocking.xread(places, count=BATCH, block=block_ms)
        for stream, entries in answer:
            self._move(stream, entries)
            self._bookmarks[stream].move(entries[-1][0], len(entries))
        if not answer:
            for bookmark in self._bookmarks.values():
                bookmark.check()
        return sum(len(entries) for _, entries in answer)

    def _move(self, stream: str, entries: Sequence[Entry]) -> None:
        try:
            self._write(stream, entries)
        except (IntegrityError, DataError) as error:
            if len(entries) > 1:
                for entry in entries:  # one of them is in the journal already: find it, keep the others
                    self._move(stream, [entry])
                return
            taken = isinstance(error, IntegrityError)
            if taken and self._knows(stream, entries[0]):
                log.warning("event.again", stream=stream, entry=entries[0][0])
            else:
                reason = "the journal has another event in its place" if taken else "the journal cannot hold it"
                self._set_aside(stream, entries[0], reason, traceback.format_exc())
            self._write(stream, [(entries[0][0], {})])

    def _write(self, stream: str, entries: Sequence[Entry]) -> None:
        rows = [row for entry in entries if (row := self._row(stream, entry)) is not None]
        channel, last = self._streams[stream], entries[-1][0]
        with self._engine.begin() as conn:
            self._advance(conn, channel, last)
            if rows:
                conn.execute(journal.insert(), [_columns(row) for row in rows])
                for model in self._models:
                    _apply(model, conn, rows)
        self._position[channel] = last

    def _knows(self, stream: str, entry: Entry) -> bool:
        """Whether the journal has this very event: a Redis that lost the end of its file makes a commit again."""
        row = self._row(stream, entry)
        if row is None:
            return False
        here = (journal.c.aggregate == row.aggregate) & (journal.c.sequence == row.sequence)
        with self._engine.connect() as conn:
            known = conn.execute(select(journal.c.type, journal.c.data).where(here)).first()
        return known is not None and tuple(known) == (row.type, row.data)

    def _advance(self, conn: Connection, channel: str, last: str) -> None:
        known = self._position[channel]
        here = (positions.c.channel == channel) & (positions.c.entry_id == known)
        if conn.execute(positions.update().where(here).values(entry_id=last)).rowcount != 1:
            raise LostPosition(f"{channel} is no longer at {known}")

    def _row(self, stream: str, entry: Entry) -> JournalRow | None:
        """The journal row of an entry; None for one that belongs to no aggregate, or cannot be read."""
        entry_id, fields = entry
        if fields.get("aggregate", "") == "" and (not fields or "data" in fields):
            return None
        try:
            msgspec.json.decode(fields["data"])
            given = {name: fields[name] for name in FIELDS if name in fields} | {"trace": fields.get("trace", "")[:64]}
            "".join(given.values()).encode()  # raises for bytes that are no text
            return msgspec.convert({**given, "entry_id": entry_id}, JournalRow, strict=False)
        except (KeyError, ValueError) as wrong:
            self._set_aside(stream, entry, str(MalformedMessage(repr(wrong))), traceback.format_exc())
            return None

    def _set_aside(self, stream: str, entry: Entry, reason: str, details: str) -> None:
        """At least once: after a crash right here, the entry is met and set aside again."""
        entry_id, fields = entry
        pairs = letter_fields(
            fields, source=stream, entry=entry_id, reason=f"journal: {reason}", details=details,
            attempts=1, consumer="projector",
        )  # fmt: skip
        self._redis.xclaim(
            stream, self.group, "projector", 0, [entry_id], force=True, justid=True
        )  # the script's fence
        self._scripts.run("dead", [stream, keys.dead_letters(self.service)], [self.group, entry_id, *pairs])
        log.error("entry.dead", stream=stream, entry=entry_id, reason=reason)

    def _rebuild_where_needed(self) -> None:
        with self._engine.connect() as conn:
            current = {row.name: row.version for row in conn.execute(select(read_models))}
        for model in self._models:
            known = current.get(model.name)
            if known is not None and known != model.version:
                for table in reversed(model.tables):  # its columns may have changed, too
                    table.drop(self._engine, checkfirst=True)
            if known != model.version:
                self.rebuild(model)

    def rebuild(self, model: ReadModel) -> None:
        """Build a read model from zero in one transaction: readers see the old rows until the new ones are complete."""
        for table in model.tables:
            table.create(self._engine, checkfirst=True)
        with sql.writing(self._engine) as conn:
            conn.execute(select(positions).with_for_update()).all()  # where MySQL makes another projector wait
            for table in reversed(model.tables):
                conn.execute(table.delete())
            count = 0
            for page in pages(conn):
                _apply(model, conn, page)
                count += len(page)
            conn.execute(read_models.delete().where(read_models.c.name == model.name))
            conn.execute(read_models.insert().values(name=model.name, version=model.version))
        log.info("read_model.rebuilt", name=model.name, events=count)

    def run(self, stopping: threading.Event, pulse: Pulse) -> None:
        """Loop until `stopping`; an error of either database pauses it, with backoff up to 2 s."""
        delay_s, prepared = 0.1, False
        while not stopping.is_set():
            try:
                if not prepared:
                    self.prepare()
                    prepared = True
                self.step()
                pulse.beat()
                stopping.wait(self._linger_s)
                delay_s = 0.1
            except (RedisError, SQLAlchemyError, OSError, LostPosition) as error:
                prepared = False
                log.error("projector.waits", error=str(error), again_in_s=delay_s)
                stopping.wait(delay_s)
                delay_s = min(2.0, delay_s * 2)


def _apply(model: ReadModel, conn: Connection, rows: Sequence[JournalRow]) -> None:
    """Let a read model take these rows in. One it cannot take is left out and reported; the journal goes on.

    Once the model is mended, a new version of it is rebuilt with what was left out.
    """
    try:
        with conn.begin_nested():
            model.apply(conn, rows)
    except (OperationalError, InterfaceError):  # the database is in trouble, not the row
        raise
    except Exception as error:
        if len(rows) == 1:
            log.error("read_model.left_out", name=model.name, aggregate=rows[0].aggregate, sequence=rows[0].sequence,
                      error=repr(error))  # fmt: skip
            return
        for row in rows:
            _apply(model, conn, [row])


def _columns(row: JournalRow) -> dict[str, object]:
    columns = {name: getattr(row, name) for name in JournalRow.__struct_fields__}
    del columns["id"]
    return columns


def run(service: str, settings: Settings, models: Sequence[ReadModel], channels: Sequence[str] = ()) -> int:
    """The main of a projector process; returns its exit status."""
    logging.configure(f"{service}-projector", settings.log_level, settings.log_format)
    channels = channels or [f"{service}.events"]
    stopping, pulse = threading.Event(), Pulse()
    stop_on_signals(stopping)
    projector = Projector(service, settings, sql.engine(settings.database_url, answer_within_s=60), channels, models)
    trim: Callable[[threading.Event], None] = trimmer(settings, channels, groups=[projector.group])
    with serve_health(settings.bind_host, settings.health_port, pulse):
        threading.Thread(target=trim, args=(stopping,), daemon=True).start()
        collect_rarely()
        projector.run(stopping, pulse)
    return 0
