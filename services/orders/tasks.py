"""The process that makes invoices and reports: `python -m services.orders.tasks`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sagashop import redis_clients, settings, sql, worker
from sagashop.bus import Bus, connect_bus
from sagashop.errors import NotReachable
from sagashop.tasks import process
from sagashop.tasks.documents import Documents
from sagashop.tasks.lease import Leases
from sagashop.tasks.reminder import Reminder
from sagashop.tasks.runner import Done, Hopeless, Job, Runner, Work
from sagashop.tasks.task import TaskMessage
from services.orders import store
from services.orders.history import Orders
from services.orders.invoices import euros, invoice_of
from services.orders.messages import PREFIX, QUEUE, MakeInvoice, MakeSalesReport
from services.orders.reports import Sales, csv_of, xlsx_of
from services.orders.settings import OrdersSettings
from services.orders.topology import TOPOLOGY

JOURNAL_WAIT_S = 5.0
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class Clerk:
    """Makes the papers."""

    def __init__(self, bus: Bus, orders: Orders, chosen: OrdersSettings) -> None:
        self._bus, self._orders = bus, orders
        self._engine = sql.engine(chosen.database_url)

    @property
    def jobs(self) -> dict[type[TaskMessage], Job]:
        return {MakeInvoice: self.invoice, MakeSalesReport: self.report}

    def invoice(self, message: MakeInvoice, work: Work) -> Done:
        """Waits for the journal where it is a moment behind; the number is the place there."""
        order = self._orders.find(message.order_id)
        if order is None:
            raise Hopeless("the order is gone")
        rows = self._orders.events_up_to(order, within_s=JOURNAL_WAIT_S)
        invoice = invoice_of(rows, self._who(order.customer_id))
        if invoice is None:
            raise NotReachable(f"the journal does not have the confirmation of order {order.order_id} yet")
        work.progress(50, "writes the PDF")
        from services.orders.paper import pdf_of  # at the first invoice, for the sake of the memory of those who idle

        name = f"invoice-{invoice.number}.pdf"
        return Done(work.store(name, "application/pdf", iter([pdf_of(invoice)])), f"Invoice {invoice.number}")

    def report(self, message: MakeSalesReport, work: Work) -> Done:
        """Lists every line, and sums up."""
        first, last = date.fromisoformat(message.first_day), date.fromisoformat(message.last_day)
        sales = Sales(self._engine, first, last)
        form, media_type = (csv_of, "text/csv; charset=utf-8") if message.format == "csv" else (xlsx_of, XLSX)
        chunks: Iterator[bytes] = form(sales.lines(work.progress))
        try:
            document = work.store(f"sales-{first}-{last}.{message.format}", media_type, chunks)
        except ValueError as why:
            raise Hopeless(str(why)) from why
        return Done(document, f"{sales.orders} orders, {euros(sales.total_cents)}")

    def _who(self, customer_id: str) -> list[str]:
        """Name and address of the customer, as far as they are known here."""
        row = self._bus.load([key := store.customer_key(customer_id)])[key]
        return [row[part] for part in ("name", "email") if row.get(part)]


def start() -> int:
    """Work until told to stop; the exit status."""
    chosen = settings.load(OrdersSettings)
    engine, bus = sql.engine(chosen.database_url), connect_bus(chosen)
    documents, leases = Documents(engine), Leases("orders", redis_clients.ledger(chosen))
    clerk = Clerk(bus, Orders(bus, engine, chosen.saga), chosen)
    runner = Runner(leases, documents, clerk.jobs, timeout_s=chosen.task_timeout_s, link=result_link)
    reminder = Reminder("orders", MakeInvoice.channel, redis_clients.ledger(chosen), chosen.task_quiet_s)
    beside = [runner.tend, documents.look_after, reminder.run]
    return process.run("orders", QUEUE, chosen, lambda _: runner.handle, TOPOLOGY, jobs=chosen.task_jobs, beside=beside)


def result_link(task_id: str) -> str:
    """Where the result of a task is found."""
    return f"{PREFIX}/{task_id}/result"


if __name__ == "__main__":
    worker.main(start)
