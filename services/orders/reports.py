"""The sales report: every line of every order that was sold in a period, from the SQL archive, as CSV or XLSX.

Rows are read and written page by page, so a year of orders needs no more memory than a day.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from tempfile import TemporaryFile
from typing import IO, Any

from msgspec import Struct
from sqlalchemy import Engine, and_, func, or_, select

from contracts.orders import OrderPlaced
from sagashop.journal import journal
from services.orders import store
from services.orders.domain import OrderStatus
from services.orders.history import event_of_columns
from services.orders.readmodel import order_list

SOLD = [OrderStatus.CONFIRMED.value, OrderStatus.COMPLETED.value]
"""Paid, or about to be: past the pivot, and not given back."""
PAGE = 500
MOST_XLSX_ROWS = 1_048_575
CHUNK_BYTES = 64 * 1024
COLUMNS = ("order", "placed (UTC)", "status", "customer", "sku", "product", "quantity", "unit price", "amount")
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")


class Sale(Struct, frozen=True):
    """One line of an order."""

    order_id: str
    placed_ms: int
    status: str
    customer_id: str
    sku: str
    name: str
    quantity: int
    price_cents: int

    @property
    def amount_cents(self) -> int:
        return self.quantity * self.price_cents


class Sales:
    """What was sold of orders placed in these days, UTC, both included. `total_cents` is complete after reading."""

    def __init__(self, engine: Engine, first: date, last: date) -> None:
        self._engine = engine
        placed = order_list.c.placed_ms
        self._wanted = [placed >= _ms(first), placed < _ms(last + timedelta(days=1)), order_list.c.status.in_(SOLD)]
        self.orders = self.total_cents = 0

    def count(self) -> int:
        """How many orders there are."""
        with self._engine.connect() as conn:
            return int(conn.scalar(select(func.count()).select_from(order_list).where(*self._wanted)) or 0)

    def lines(self, progress: Callable[[int, str], None]) -> Iterator[Sale]:
        """Every line, the oldest order first; tells its progress after each page."""
        total, after = self.count(), None
        while page := self._page(after):
            placed = self._placed([row.order_id for row in page])
            for row in page:
                yield from self._of(row, placed[row.order_id])
            after = page[-1]
            progress(99 * self.orders // max(total, self.orders), f"{self.orders} of {total} orders")

    def _of(self, row: Any, order: OrderPlaced) -> Iterator[Sale]:
        self.orders += 1
        for line in order.lines:
            sale = Sale(row.order_id, row.placed_ms, row.status, row.customer_id, line.sku, line.name, line.quantity,
                        line.price_cents)  # fmt: skip
            self.total_cents += sale.amount_cents
            yield sale

    def _page(self, after: Any) -> list[Any]:
        rows, wanted = order_list.c, list(self._wanted)
        if after is not None:
            later = and_(rows.placed_ms == after.placed_ms, rows.order_id > after.order_id)
            wanted.append(or_(rows.placed_ms > after.placed_ms, later))
        query = select(order_list).where(*wanted).order_by(rows.placed_ms, rows.order_id).limit(PAGE)
        with self._engine.connect() as conn:
            return list(conn.execute(query))

    def _placed(self, order_ids: list[str]) -> dict[str, OrderPlaced]:
        """What was ordered: the first event of each."""
        first = journal.c.aggregate.in_([store.aggregate(each) for each in order_ids]), journal.c.sequence == 1
        with self._engine.connect() as conn:
            found = conn.execute(select(journal.c.type, journal.c.data).where(*first))
            events: list[Any] = [event_of_columns(kind, data) for kind, data in found]
        return {event.order_id: event for event in events}


def csv_of(sales: Iterable[Sale]) -> Iterator[bytes]:
    """A CSV file in UTF-8, with a head line, in pieces of some 64 KiB."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for sale in sales:
        words = (sale.order_id, _utc(sale.placed_ms).isoformat(), sale.status, sale.customer_id, sale.sku, sale.name)
        amounts = (sale.quantity, _amount(sale.price_cents), _amount(sale.amount_cents))
        writer.writerow([*map(harmless, words), *amounts])
        if text.tell() > CHUNK_BYTES:
            yield text.getvalue().encode()
            text.seek(text.truncate(0))
    yield text.getvalue().encode()


def xlsx_of(sales: Iterable[Sale]) -> Iterator[bytes]:
    """An Excel workbook. Its rows go to a temporary file as they come; text is text, whatever it begins with.

    Raises: ValueError for more rows than a sheet has
    """
    with TemporaryFile() as file:
        _write_sheet(file, sales)
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _write_sheet(file: IO[bytes], sales: Iterable[Sale]) -> None:
    from xlsxwriter import Workbook  # with the first workbook: whoever writes none need not hold the library

    plain = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with Workbook(file, plain) as book:
        sheet, bold = book.add_worksheet("Sales"), book.add_format({"bold": True})
        time, money = book.add_format({"num_format": "yyyy-mm-dd hh:mm"}), book.add_format({"num_format": "#,##0.00"})
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, 8, 16)
        sheet.write_row(0, 0, COLUMNS, bold)
        for number, sale in enumerate(sales, 1):
            if number > MOST_XLSX_ROWS:
                raise ValueError(f"a sheet has no more than {MOST_XLSX_ROWS:,} lines; ask for CSV, or fewer days")
            sheet.write_string(number, 0, sale.order_id)
            sheet.write_datetime(number, 1, _utc(sale.placed_ms).replace(tzinfo=None), time)
            for column, word in enumerate((sale.status, sale.customer_id, sale.sku, sale.name), 2):
                sheet.write_string(number, column, word)
            sheet.write_number(number, 6, sale.quantity)
            sheet.write_number(number, 7, sale.price_cents / 100, money)
            sheet.write_number(number, 8, sale.amount_cents / 100, money)


def harmless(word: str) -> str:
    """A cell that no spreadsheet takes for a formula (CSV injection)."""
    return f"'{word}" if word.startswith(DANGEROUS) else word


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
