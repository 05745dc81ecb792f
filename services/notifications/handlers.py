"""Orders tells what happened; notifications writes it down for the customer. Orders knows nothing of it.

Delivery: at least once; each event of an order gives one notice, also when it comes back as another entry while its
notice is among those kept.
"""

from __future__ import annotations

from typing import cast

from sagashop.effects import NOTHING, Effects, Expect, Put, Rows
from sagashop.handlers import Handlers
from sagashop.messages import Envelope, encode
from services.notifications import store
from services.notifications.domain import WORDS, OrderEvent
from services.notifications.store import COUNT, KEPT, Notice


def write_down(envelope: Envelope, row: dict[str, str]) -> Effects:
    """Add a notice; it takes the place of the fiftieth before it. The count guards against two workers at one place."""
    event = cast(OrderEvent, envelope.message)
    name, count, key = type(event).__name__, store.count_in(row), store.notices_key(event.customer_id)
    if any((notice.order_id, notice.event) == (event.order_id, name) for notice in store.notices_in(row)):
        return NOTHING
    text = WORDS[type(event)](event)
    notice = Notice(number=count + 1, order_id=event.order_id, event=name, text=text, time_ms=envelope.time_ms)
    return Effects(
        expect=[Expect(key, COUNT, count or None)],
        write=[Put(key, {COUNT: notice.number, str(notice.number % KEPT): encode(notice)})],
    )


def make_handlers() -> Handlers:
    """Notifications' messages; each needs the notices of its customer."""

    def view(event: OrderEvent, rows: Rows) -> dict[str, str]:
        return rows[_key(event)]

    handlers = Handlers(keys=lambda event: [_key(event)], view=view)
    handlers.on(*WORDS, with_envelope=True)(write_down)
    return handlers


def _key(event: OrderEvent) -> str:
    return store.notices_key(event.customer_id)
