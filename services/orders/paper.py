"""An invoice on paper: a PDF, with a library of 20 MB. A process imports this module when it writes the first one."""

from __future__ import annotations

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, XPos, YPos
from fpdf.fonts import FontFace

from services.orders.invoices import Invoice, euros

INK, SOFT, PETROL, WASH, PAPER = (31, 41, 46), (98, 112, 118), (0, 95, 107), (236, 243, 244), (255, 255, 255)
ENCODING = "cp1252"
"""The fonts that every PDF reader has know the letters of Western Europe and the euro sign; others become `?`."""


def pdf_of(invoice: Invoice) -> bytes:
    """The invoice as a PDF, A4; the same bytes for the same invoice."""
    page = _Paper(invoice)
    page.add_page()
    _heading(page, invoice)
    _lines(page, invoice)
    _total(page, invoice)
    return bytes(page.output())


class _Paper(FPDF):
    def __init__(self, invoice: Invoice) -> None:
        super().__init__(format="A4")
        self.core_fonts_encoding = ENCODING
        self.set_creation_date(invoice.date)
        self.set_title(f"Invoice {invoice.number}")
        self.set_author("Sagashop")
        self.set_margins(20, 20)
        self.set_auto_page_break(True, margin=25)
        self._number = invoice.number

    def footer(self) -> None:
        self.set_y(-18)
        self.set_font("helvetica", size=8)
        self.set_text_color(*SOFT)
        self.cell(0, 5, f"Sagashop · Invoice {self._number} · Page {self.page_no()} of {{nb}}", align="C")

    def say(self, text: str, size: float = 10, color: tuple[int, int, int] = INK, style: str = "") -> None:
        """One line of text."""
        self.set_font("helvetica", style, size)
        self.set_text_color(*color)
        self.cell(0, size * 0.55, printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _heading(page: _Paper, invoice: Invoice) -> None:
    page.set_fill_color(*PETROL)
    page.rect(0, 0, page.w, 6, style="F")
    page.set_fill_color(*PAPER)
    page.say("Sagashop", 20, PETROL, "B")
    page.ln(8)
    for line in invoice.customer:
        page.say(line, 11)
    page.ln(10)
    page.say(f"Invoice {invoice.number}", 16, INK, "B")
    page.ln(2)
    page.say(f"Date: {invoice.date:%d %B %Y}", 10, SOFT)
    page.say(f"Order: {invoice.order_id}", 10, SOFT)
    page.ln(6)


def _lines(page: _Paper, invoice: Invoice) -> None:
    page.set_font("helvetica", size=10)
    page.set_text_color(*INK)
    page.set_draw_color(*SOFT)
    with page.table(
        col_widths=(52, 14, 17, 17), text_align=("LEFT", "RIGHT", "RIGHT", "RIGHT"), line_height=5, padding=(1.5, 1),
        borders_layout=TableBordersLayout.SINGLE_TOP_LINE,
        headings_style=FontFace(emphasis="BOLD", fill_color=WASH),
    ) as table:  # fmt: skip
        table.row(("Product", "Quantity", "Unit price", "Amount"))
        for line in invoice.lines:
            amounts = (euros(line.price_cents), euros(line.quantity * line.price_cents))
            table.row((printable(f"{line.name or line.sku} ({line.sku})"), str(line.quantity), *amounts))


def _total(page: _Paper, invoice: Invoice) -> None:
    page.ln(3)
    page.set_font("helvetica", "B", 12)
    page.set_text_color(*PETROL)
    page.cell(0, 9, f"Total   {euros(invoice.total_cents)}", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.ln(6)
    page.say("Paid from your Sagashop account. Thank you for your order.", 10, SOFT)


def printable(text: str) -> str:
    """The text with `?` for what the fonts do not have."""
    return text.encode(ENCODING, "replace").decode(ENCODING)
