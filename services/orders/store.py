"""Where orders keeps things in redis-ledger, and how a decision becomes effects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from sagashop import keys
from sagashop.effects import FOREVER, ClearTimer, Command, Effects, Expect, Put, Recorded, Rows, SetTimer
from sagashop.messages import Message
from sagashop.saga import WAITING, Change, Saga, StepState
from services.orders.domain import SETTLED, Order, StepOverdue, evolve

KEEP_SETTLED_S = 24 * 3600
"""A settled order leaves redis-ledger after a day; the journal keeps it for good."""

_decode = msgspec.json.Decoder(Order).decode


def order_key(order_id: str) -> str:
    return keys.own("orders", "order", order_id)


def product_key(sku: str) -> str:
    return keys.own("orders", "product", sku)


def customer_key(customer_id: str) -> str:
    return keys.own("orders", "customer", customer_id)


def idempotency_key(customer_id: str, key: str) -> str:
    return keys.own("orders", "idempotency", customer_id, key)


def aggregate(order_id: str) -> str:
    """The name of an order's history in the journal."""
    return f"order:{order_id}"


def read_order(rows: Rows, order_id: str) -> Order | None:
    """The order in these rows, or None."""
    row = rows.get(order_key(order_id))
    return _decode(row["state"]) if row else None


def record(saga: Saga, order: Order | None, event: Any) -> Effects:
    """Everything that follows from one event of an order: its row, the event itself, commands and timers.

    The guard on the version decides races: a reply, a timer and a cancellation that saw the same order cannot all win.
    """
    after = evolve(saga, order, event)
    row = order_key(after.order_id)
    fields: dict[str, str | int] = {
        "version": after.version,
        "status": after.status.value,
        "customer_id": after.customer_id,
        "state": msgspec.json.encode(after).decode(),
    }
    before = order.version if order else None
    return Effects(
        expect=[Expect(row, "version", before)],
        write=[Put(row, fields, ttl_s=_keep_s(order, after))],
        emit=[Recorded(event, aggregate(after.order_id), after.version), *_commands(saga, after, event.changes)],
        timers=list(_timers(saga, order, after, event.changes)),
    )


def _keep_s(before: Order | None, after: Order) -> int | None:
    """A settled order may go after a while; one that is cancelled after all must stay until its refund is through."""
    if after.status in SETTLED:
        return KEEP_SETTLED_S
    return FOREVER if before and before.status in SETTLED else None


def _commands(saga: Saga, order: Order, changes: Iterable[Change]) -> Iterator[Command]:
    for change in changes:
        wanted = saga.command(change)
        if wanted is not None:
            yield Command(_fill(wanted, order), id=f"{order.order_id}.{change.step}.{wanted.__name__}")


def _fill(command: type[Message], order: Order) -> Message:
    """A command takes its fields from the order, by name."""
    return command(**{name: getattr(order, name) for name in command.__struct_fields__})


def _timers(
    saga: Saga, before: Order | None, after: Order, changes: Iterable[Change]
) -> Iterator[SetTimer | ClearTimer]:
    """A step that has stopped waiting loses its timer, one that waits (again) gets one."""
    for step in dict.fromkeys(change.step for change in changes):
        old, new = before.steps[step] if before else None, after.steps[step]
        if old and old.status in WAITING:
            yield ClearTimer(_overdue(after, step, old))
        if new.status in WAITING:
            yield SetTimer(_overdue(after, step, new), after_s=saga.seconds_to_wait(step, new.attempt))


def _overdue(order: Order, step: str, state: StepState) -> StepOverdue:
    return StepOverdue(order_id=order.order_id, step=step, status=state.status, attempt=state.attempt)
