"""Invoices and sales reports: what they say, and that nothing in them is a formula or a surprise."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.orders import Line, OrderCompleted, OrderConfirmed, OrderPlaced
from sagashop import sql
from sagashop.journal import JournalRow, journal, metadata
from sagashop.messages import Message, encode
from services.orders.invoices import Invoice, euros, invoice_of
from services.orders.paper import pdf_of, printable
from services.orders.readmodel import OrderList
from services.orders.reports import COLUMNS, PAGE, Sale, Sales, csv_of, harmless, xlsx_of

NOON_MS = 1_767_268_800_000  # 2026-01-01 12:00 UTC
LINES = [Line(sku="MUG", quantity=2, price_cents=900, name="Mug"), Line(sku="TEE", quantity=1, price_cents=2_050)]


def history(
    order_id: str = "o1", lines: list[Line] = LINES, at_ms: int = NOON_MS, first_id: int = 40
) -> list[JournalRow]:
    total = sum(line.quantity * line.price_cents for line in lines)
    events: list[Message] = [
        OrderPlaced(order_id=order_id, customer_id="c1", lines=lines, total_cents=total),
        OrderConfirmed(order_id=order_id, customer_id="c1", lines=lines, total_cents=total),
        OrderCompleted(order_id=order_id, customer_id="c1", total_cents=total),
    ]
    return [
        JournalRow(
            id=first_id + number, entry_id=f"{number}-0", aggregate=f"order:{order_id}", sequence=number,
            type=type(event).__name__, data=encode(event), time_ms=at_ms + number, producer="orders",
        )
        for number, event in enumerate(events, 1)
    ]  # fmt: skip


def invoice(lines: list[Line] = LINES) -> Invoice:
    made = invoice_of(history(lines=lines), ["Demo Customer", "demo@sagashop.example"])
    assert made is not None
    return made


def words_in(pdf: bytes) -> str:
    """The text of all pages."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    shown = [zlib.decompress(each).decode("cp1252") for each in streams if each[:1] == b"x"]
    return " ".join(re.findall(r"\((.*?)(?<!\\)\) Tj", "\n".join(shown)))


@pytest.mark.feature("F43")
def test_an_invoice_says_who_bought_what_when_for_how_much() -> None:
    said = words_in(pdf_of(invoice()))
    for word in ("Invoice 2026-0000042", "01 January 2026", "o1", "Demo Customer", "demo@sagashop.example",
                 "Mug", "€ 9.00", "€ 18.00", "TEE", "€ 20.50", "€ 38.50", "Page 1 of"):  # fmt: skip
        assert word in said.replace("\\", ""), word


def test_the_same_order_has_the_same_invoice_to_the_byte() -> None:
    assert pdf_of(invoice()) == pdf_of(invoice())


def test_an_order_that_is_not_confirmed_has_none() -> None:
    assert invoice_of(history()[:1], []) is None
    unnamed = invoice_of(history(), [])
    assert unnamed is not None
    assert unnamed.customer == ["Customer c1"]


@pytest.mark.parametrize("name", ["Кружка", "茶碗", "(brackets) \\ back", "{nb}", "**bold**", "x" * 200])
def test_whatever_a_product_is_called_the_invoice_is_made(name: str) -> None:
    lines = [Line(sku=f"S{n}", quantity=99, price_cents=99_999, name=name) for n in range(50)]
    pdf = pdf_of(invoice(lines))
    assert pdf.startswith(b"%PDF-")
    assert "Page 2 of" in words_in(pdf)


def test_letters_that_the_fonts_do_not_have_become_question_marks() -> None:
    assert printable("Tasse für 5 € 茶") == "Tasse für 5 € ?"
    assert euros(123_456_789) == "€ 1,234,567.89"


def sale(name: str = "Mug", order_id: str = "o1") -> Sale:
    return Sale(order_id, NOON_MS, "completed", "c1", "MUG", name, 3, 333)


def test_a_csv_line_says_it_all() -> None:
    head, row = csv.reader(io.StringIO(b"".join(csv_of([sale()])).decode()))
    assert tuple(head) == COLUMNS
    assert row == ["o1", "2026-01-01T12:00:00+00:00", "completed", "c1", "MUG", "Mug", "3", "3.33", "9.99"]


def test_a_long_csv_comes_in_pieces() -> None:
    pieces = list(csv_of(sale() for _ in range(5_000)))
    assert len(pieces) > 3
    assert len(b"".join(pieces).splitlines()) == 5_001


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_no_cell_of_a_csv_begins_like_a_formula(text: str) -> None:
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert harmless(text).removeprefix("'") == text.removeprefix("'")


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_products_name_is_no_formula_in_either_format(name: str) -> None:
    (row,) = list(csv.DictReader(io.StringIO(b"".join(csv_of([sale(name)])).decode(), newline="")))
    assert row["product"] == f"'{name}"
    book = zipfile.ZipFile(io.BytesIO(b"".join(xlsx_of([sale(name)]))))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet.lower().replace(name.lower().replace('"', "&quot;"), "").replace("hyperlink(", "")
    assert "9.99" in sheet


@pytest.mark.feature("F43")
def test_a_report_has_the_days_that_are_asked_for_over_several_pages(tmp_path: Path) -> None:
    engine = sql.engine(f"sqlite:///{tmp_path}/orders.db")
    metadata.create_all(engine)
    model, many, day_ms = OrderList(), PAGE + 20, 86_400_000
    for table in model.tables:
        table.create(engine)
    days = [("before", NOON_MS - day_ms), ("after", NOON_MS + 2 * day_ms), ("last", NOON_MS + day_ms)]
    with engine.begin() as conn:
        for number, (order_id, at_ms) in enumerate([*days, *((f"o{n}", NOON_MS + n % 7) for n in range(many))]):
            rows = history(order_id, at_ms=at_ms, first_id=number * 10)
            conn.execute(journal.insert(), [{f: getattr(r, f) for f in JournalRow.__struct_fields__} for r in rows])
            model.apply(conn, rows[: 1 if order_id == "o5" else 3])  # o5 is not confirmed
    sales, told = Sales(engine, date(2026, 1, 1), date(2026, 1, 2)), list[int]()
    lines = list(sales.lines(lambda percent, note: told.append(percent)))
    assert len({line.order_id for line in lines}) == sales.orders == sales.count() == many
    assert {"before", "after", "o5"} & {line.order_id for line in lines} == set()
    assert sales.total_cents == sum(line.amount_cents for line in lines) == many * 3_850
    assert told == sorted(told)
    assert told[-1] == 99
    assert list(Sales(engine, date(2020, 1, 1), date(2020, 1, 2)).lines(lambda *_: None)) == []
