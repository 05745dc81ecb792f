"""The order list: a read model in SQL, which can be dropped and rebuilt from the journal at any time (F07)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from contracts.orders import (
    CancellationRequested,
    CompensationStarted,
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
)
from sagashop.journal import JournalRow, read_models
from sagashop.messages import Message
from services.orders.domain import OrderStatus
from services.orders.history import event_of
from services.orders.saga import checkout
from services.orders.views import ListedOrder, ReadModelView

order_list = Table(
    "order_list",
    MetaData(),
    Column("order_id", String(64), primary_key=True),
    Column("customer_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    Column("line_count", Integer, nullable=False),
    Column("placed_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index("order_list_of_customer", "customer_id", "placed_ms", "order_id"),
    Index("order_list_by_status", "status", "placed_ms", "order_id"),
    Index("order_list_newest", "placed_ms", "order_id"),
)

STATUS: dict[type[Message], OrderStatus] = {
    OrderConfirmed: OrderStatus.CONFIRMED,
    OrderCompleted: OrderStatus.COMPLETED,
    CompensationStarted: OrderStatus.REJECTING,
    OrderRejected: OrderStatus.REJECTED,
    OrderCancelled: OrderStatus.CANCELLED,
    OrderRefunded: OrderStatus.REFUNDED,
}
"""The status that an event brings; a cancellation's depends on the side of the pivot, and the others bring none."""

Position = tuple[int, str]
"""Where a page of the list ends: when its last order was placed, and its id."""

_update = (
    order_list.update()
    .where(order_list.c.order_id == bindparam("id"))
    .values(
        status=bindparam("new_status"),
        updated_ms=bindparam("at_ms"),
        reason=func.coalesce(bindparam("new_reason"), order_list.c.reason),
    )
)


class OrderList:
    """See `sagashop.projector.ReadModel`. Events of one batch fold into one row per order before SQL sees them."""

    name: str = "order_list"
    version: int = 1
    tables: Sequence[Table] = (order_list,)

    def apply(self, conn: Connection, rows: Sequence[JournalRow]) -> None:
        """Take new events in."""
        placed: dict[str, dict[str, Any]] = {}
        changed: dict[str, dict[str, Any]] = {}
        for row in rows:
            event: Any = event_of(row)
            if isinstance(event, OrderPlaced):
                placed[event.order_id] = _first(event, row.time_ms)
            elif (status := status_after(event)) is not None:
                reason = getattr(event, "reason", "") or None
                if known := placed.get(event.order_id):
                    known.update(status=status.value, updated_ms=row.time_ms, reason=reason or known["reason"])
                else:
                    reason = reason or changed.get(event.order_id, {}).get("new_reason")
                    changed[event.order_id] = {
                        "id": event.order_id, "new_status": status.value, "at_ms": row.time_ms, "new_reason": reason,
                    }  # fmt: skip
        if placed:
            conn.execute(order_list.insert(), list(placed.values()))
        if changed:
            conn.execute(_update, list(changed.values()))


def status_after(event: Any) -> OrderStatus | None:
    """The status an event brings; None where it leaves it as it is."""
    if isinstance(event, CancellationRequested):
        before_pivot = {step.name for step in checkout.before}
        went_back = any(change.step in before_pivot for change in event.changes)
        return OrderStatus.CANCELLING if went_back else OrderStatus.REFUNDING
    return STATUS.get(type(event))


def page(conn: Connection, *, limit: int, after: Position | None = None, customer_id: str | None = None,
         statuses: Collection[OrderStatus] = ()) -> list[ListedOrder]:  # fmt: skip
    """Orders, newest first, from beyond this position on; of one customer, or in one of these statuses, if given."""
    rows = order_list.c
    wanted: list[Any] = []
    if after:
        wanted.append(or_(rows.placed_ms < after[0], and_(rows.placed_ms == after[0], rows.order_id < after[1])))
    if customer_id is not None:
        wanted.append(rows.customer_id == customer_id)
    if statuses:
        wanted.append(rows.status.in_([status.value for status in statuses]))
    query = select(order_list).where(*wanted).order_by(rows.placed_ms.desc(), rows.order_id.desc()).limit(limit)
    return list(_listed(conn.execute(query).mappings()))


def state(conn: Connection) -> ReadModelView:
    """Whether the list is as the code wants it, and how many orders it shows."""
    current = conn.scalar(select(read_models.c.version).where(read_models.c.name == OrderList.name))
    count = conn.scalar(select(func.count()).select_from(order_list))
    return ReadModelView(
        name=OrderList.name, version=OrderList.version, rebuilding=current != OrderList.version, orders=count or 0
    )


def _first(event: OrderPlaced, time_ms: int) -> dict[str, Any]:
    return {
        "order_id": event.order_id, "customer_id": event.customer_id, "status": OrderStatus.PLACED.value,
        "total_cents": event.total_cents, "line_count": len(event.lines), "placed_ms": time_ms,
        "updated_ms": time_ms, "reason": "",
    }  # fmt: skip


def _listed(rows: Iterable[Any]) -> Iterable[ListedOrder]:
    for row in rows:
        yield ListedOrder(**{**row, "status": OrderStatus(row["status"])})
