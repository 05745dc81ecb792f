"""What orders can say of its own house: every order settled, and rows, journal and order list agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Engine, func, select

from sagashop.audit.elsewhere import Elsewhere
from sagashop.audit.facts import Check, Fact, OrderFact, Tally
from sagashop.audit.house import House
from sagashop.audit.past import Past
from sagashop.audit.rows import rows_by_id
from sagashop.messages import now_ms
from sagashop.saga import Saga, Status, StepState
from services.orders import store
from services.orders.domain import SETTLED, Order, evolve
from services.orders.history import event_of
from services.orders.readmodel import OrderList, order_list

if TYPE_CHECKING:
    from redis import Redis

SERVICE = "orders"
MAY_BE_UNDONE = frozenset({Status.ASKED, Status.OWED, Status.RECALLED, Status.DONE})


def house(redis: Redis, engine: Engine, saga: Saga, channels: list[str], elsewhere: Sequence[Elsewhere] = ()) -> House:
    """The house as the auditor sees it."""
    return House(
        SERVICE, redis, channels, unsettled=lambda: _unsettled(engine), elsewhere=elsewhere,
        examine=lambda: OrdersAudit(redis, engine, saga).facts(),
    )  # fmt: skip


def _unsettled(engine: Engine) -> int:
    settled = [status.value for status in SETTLED]
    with engine.connect() as conn:
        count = conn.scalar(select(func.count()).select_from(order_list).where(order_list.c.status.not_in(settled)))
    return int(count or 0)


class OrdersAudit:
    """Folds every order from the journal once, then compares."""

    def __init__(self, redis: Redis, engine: Engine, saga: Saga) -> None:
        self._redis, self._engine, self._saga = redis, engine, saga
        self._past = Past(SERVICE, engine, redis, "orders.events")
        self._orders: dict[str, Order] = {}
        self._undone: set[tuple[str, str]] = set()
        self._undos = Tally("a step is undone at most once, and only after it was asked")
        self._readable = Tally("every event can be read, and follows from the one before")

    def facts(self) -> Iterator[Fact]:
        """Checks, then one fact for each order."""
        for row in self._past.rows():
            self._take(row)
        yield from self._past.checks()
        yield self._readable.check(SERVICE)
        yield self._undos.check(SERVICE)
        yield self._settled()
        yield self._rows()
        yield self._past.model_is_current(OrderList())
        yield self._listed()
        yield from map(fact_of, self._orders.values())

    def _take(self, row: Any) -> None:
        order_id = row.aggregate.partition(":")[2]
        self._readable.saw()
        try:
            event: Any = event_of(row)
            before = self._orders.get(order_id)
            self._orders[order_id] = evolve(self._saga, before, event)
        except (ValueError, KeyError) as wrong:
            self._readable.found(f"{row.aggregate}, number {row.sequence}, {row.type}: {wrong}")
            return
        self._look_at_undos(order_id, dict(before.steps) if before else {}, event.changes)

    def _look_at_undos(self, order_id: str, steps: dict[str, StepState], changes: Iterable[Any]) -> None:
        """Sending an unanswered undo again, under the same id, is another attempt and not another undo."""
        for change in changes:
            if change.status is Status.UNDOING and change.attempt == 1:
                self._undos.saw()
                if (order_id, change.step) in self._undone:
                    self._undos.found(f"order {order_id}: {change.step} is undone twice")
                if change.step not in steps or steps[change.step].status not in MAY_BE_UNDONE:
                    self._undos.found(f"order {order_id}: {change.step} is undone, and was not asked")
                self._undone.add((order_id, change.step))
            steps[change.step] = StepState(change.status, change.attempt)

    def _settled(self) -> Check:
        tally = Tally("every order is in a final state")
        for order in self._orders.values():
            tally.saw()
            if order.status not in SETTLED:
                tally.found(f"order {order.order_id} is {order.status.value} since event {order.version}")
        return tally.check(SERVICE)

    def _rows(self) -> Check:
        """A settled order leaves redis-ledger after a day, so only a fresh or unsettled one must be there."""
        tally, forgotten_ms = Tally("every row in redis-ledger is the fold of its journal"), now_ms()
        forgotten_ms -= store.KEEP_SETTLED_S * 1000
        for order_id, row in rows_by_id(self._redis, self._orders, store.order_key):
            told = self._orders[order_id]
            tally.saw()
            gone = not row and told.status in SETTLED
            if gone and self._past.last_ms[store.aggregate(order_id)] < forgotten_ms:
                continue
            if difference := _difference(told, row):
                tally.found(f"order {order_id}: {difference}")
        return tally.check(SERVICE)

    def _listed(self) -> Check:
        tally = Tally("the order list is the fold of the journal")
        columns = order_list.c
        query = select(columns.order_id, columns.customer_id, columns.status, columns.total_cents)
        with self._engine.connect() as conn:
            listed = {row[0]: tuple(row[1:]) for row in conn.execute(query)}
        tally.saw(len(listed))
        for order in self._orders.values():
            told = (order.customer_id, order.status.value, order.total_cents)
            if (shown := listed.pop(order.order_id, None)) != told:
                tally.found(f"order {order.order_id} is listed as {shown}, and is {told}")
        for order_id in listed:
            if store.aggregate(order_id) not in self._past.broken:
                tally.found(f"order {order_id} is listed, and not in the journal")
        return tally.check(SERVICE)


def _difference(told: Order, row: dict[str, str]) -> str:
    if not row:
        return "it has no row"
    if row.get("version") != str(told.version):
        return f"the row is at version {row.get('version')}, the journal at {told.version}"
    try:
        kept = store.read_order({store.order_key(told.order_id): row}, told.order_id)
    except (KeyError, msgspec.DecodeError) as wrong:
        return f"the row cannot be read: {wrong}"
    return "" if kept == told and row.get("status") == told.status.value else "the row says something else"


def fact_of(order: Order) -> OrderFact:
    """What the auditor is told of this order."""
    items: dict[str, int] = {}
    for line in order.lines:
        items[line.sku] = items.get(line.sku, 0) + line.quantity
    return OrderFact(
        order_id=order.order_id, customer_id=order.customer_id, status=order.status.value,
        settled=order.status in SETTLED, version=order.version, total_cents=order.total_cents,
        steps={name: state.status.value for name, state in order.steps.items()}, items=items,
    )  # fmt: skip
