"""Orders tells what happened; notifications writes it down for the customer. Orders knows nothing of it.

Delivery: at least once; each event of an order gives one notice. The commit sees to that for every delivery of one
entry; the row `told` also for an event that comes back as another entry (a republished or replayed one), for a day.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from sagashop.effects import NOTHING, Effects, Expect, Put, Rows
from sagashop.handlers import Handlers
from sagashop.messages import Envelope, encode
from services.notifications import store
from services.notifications.domain import WORDS, OrderEvent
from services.notifications.store import COUNT, KEPT, Notice


class Postbox(NamedTuple):
    """How many notices the customer has had, and of which events of this order."""

    had: int
    told: frozenset[str]


def write_down(envelope: Envelope, postbox: Postbox) -> Effects:
    """Add a notice; it takes the place of the fiftieth before it. The count guards against two workers at one place."""
    event = cast(OrderEvent, envelope.message)
    name, number = type(event).__name__, postbox.had + 1
    if name in postbox.told:
        return NOTHING
    text = WORDS[type(event)](event)
    notice = Notice(number=number, order_id=event.order_id, event=name, text=text, time_ms=envelope.time_ms)
    count, told = store.count_key(event.customer_id), store.told_key(event.order_id)
    return Effects(
        expect=[Expect(count, COUNT, postbox.had or None), Expect(told, name, None)],
        write=[
            Put(count, {COUNT: number}),
            Put(told, {name: number}, ttl_s=store.KEEP_TOLD_S),
            Put(store.notices_key(event.customer_id), {str(number % KEPT): encode(notice)}),
        ],
    )


def make_handlers() -> Handlers:
    """Notifications' messages; each needs the count of its customer and what is told of its order."""

    def keys(event: OrderEvent) -> list[str]:
        return [store.count_key(event.customer_id), store.told_key(event.order_id)]

    def view(event: OrderEvent, rows: Rows) -> Postbox:
        count, told = (rows[key] for key in keys(event))
        return Postbox(int(count.get(COUNT, 0)), frozenset(told))

    handlers = Handlers(keys=keys, view=view)
    handlers.on(*WORDS, with_envelope=True)(write_down)
    return handlers
