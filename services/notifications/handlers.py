"""Orders tells what happened; notifications writes it down for the customer, and sends a letter about some of it.

Orders knows nothing of it. Delivery: at least once; each event of an order gives one notice and at most one letter. The
commit sees to that for every delivery of one entry; the row `told` also for an event that comes back as another entry
(a republished or replayed one), for a day. The letter is a job, enqueued in the same commit, and so is the message to
the customer's phones, where there are any, put into the outbox of the phones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from contracts.orders import CompensationStarted
from contracts.storefront import CustomerRegistered, PasswordChanged
from sagashop.effects import NOTHING, Command, Effects, Emission, Expect, Put, Rows
from sagashop.handlers import Handlers
from sagashop.messages import Envelope, encode
from sagashop.saga import Status
from services.notifications import ring, store
from services.notifications.domain import WORDS, OrderEvent
from services.notifications.letters import letters_about, password_changed, welcome
from services.notifications.messages import Tell
from services.notifications.store import COUNT, PHONES, Customer, Notice

PAYMENT_DECLINED = "payment declined"
NEW_MS = 24 * 3600 * 1000
"""Who signed up longer ago is not welcomed any more: storefront may republish all its customers."""


class Postbox(NamedTuple):
    """How many notices the customer has had, of which events of this order, and how many phones there are (None: never
    had one)."""

    had: int
    told: frozenset[str]
    phones: str | None = None


def write_down(envelope: Envelope, postbox: Postbox) -> Effects:
    """Add a notice; it takes the place of the thousandth before it. The count guards against two workers at one place.

    The guard on the phones makes a device that is registered meanwhile count: it hears of every notice after the one
    that its registration saw, or of that one and all after it.
    """
    event = cast(OrderEvent, envelope.message)
    name, number = type(event).__name__, postbox.had + 1
    if name in postbox.told:
        return NOTHING
    text = WORDS[type(event)](event)
    notice = Notice(number=number, order_id=event.order_id, event=name, text=text, time_ms=envelope.time_ms)
    count, told = store.count_key(event.customer_id), store.told_key(event.order_id)
    return Effects(
        emit=list(_to_phones(event.customer_id, notice, postbox)),
        expect=[
            Expect(count, COUNT, postbox.had or None),
            Expect(count, PHONES, postbox.phones),
            Expect(told, name, None),
        ],
        write=[
            Put(count, {COUNT: number}),
            Put(told, {name: number}, ttl_s=store.KEEP_TOLD_S),
            Put(store.notices_key(event.customer_id), {ring.slot(number): encode(notice)}),
        ],
        jobs=list(letters_about(event, payment_declined=PAYMENT_DECLINED in postbox.told)),
    )


def _to_phones(customer_id: str, notice: Notice, postbox: Postbox) -> Iterator[Emission]:
    if int(postbox.phones or 0):
        yield Command(Tell(customer_id=customer_id, notice=notice), id=f"{customer_id}.{notice.number}")


def remember_why(event: CompensationStarted, _: None) -> Effects:
    """Payment was what failed: the letter about the refusal, which comes later, says so."""
    if not any(change.step == "payment" and change.status is Status.REFUSED for change in event.changes):
        return NOTHING
    return Effects(write=[Put(store.told_key(event.order_id), {PAYMENT_DECLINED: 1}, ttl_s=store.KEEP_TOLD_S)])


def get_to_know(envelope: Envelope, known: str | None) -> Effects:
    """Remember where letters to this customer go; greet a new one. The newest revision is kept."""
    event = cast(CustomerRegistered, envelope.message)
    if known is not None and store.read_customer(known).revision >= event.revision:
        return NOTHING
    key = store.customers_key(store.share_of(event.customer_id))
    customer = Customer(name=event.name, email=event.email, revision=event.revision)
    is_new = known is None and envelope.time_ms - event.registered_ms < NEW_MS
    return Effects(
        expect=[Expect(key, event.customer_id, known)],
        write=[Put(key, {event.customer_id: encode(customer)})],
        jobs=[welcome(event.customer_id)] if is_new else [],
    )


def warn_of_password(event: PasswordChanged, told: frozenset[str]) -> Effects:
    """Write at once to a customer whose password was changed: it may have been somebody else."""
    change = str(event.changed_ms)
    if change in told:
        return NOTHING
    key = store.passwords_key(event.customer_id)
    return Effects(
        expect=[Expect(key, change, None)],
        write=[Put(key, {change: 1}, ttl_s=store.KEEP_TOLD_S)],
        jobs=[password_changed(event)],
    )


Heard = OrderEvent | CompensationStarted | CustomerRegistered | PasswordChanged


def make_handlers() -> Handlers:
    """Notifications' messages. An event of an order needs the count of its customer and what is told of its order."""

    def keys(event: Heard) -> list[str]:
        if isinstance(event, PasswordChanged):
            return [store.passwords_key(event.customer_id)]
        if isinstance(event, CustomerRegistered):
            return [store.customers_key(store.share_of(event.customer_id))]
        if isinstance(event, CompensationStarted):
            return []
        return [store.count_key(event.customer_id), store.told_key(event.order_id)]

    def view(event: Heard, rows: Rows) -> Postbox | frozenset[str] | str | None:
        if isinstance(event, PasswordChanged):
            return frozenset(rows[keys(event)[0]])
        if isinstance(event, CompensationStarted):
            return None
        if isinstance(event, CustomerRegistered):
            return rows[keys(event)[0]].get(event.customer_id)
        count, told = (rows[key] for key in keys(event))
        return Postbox(int(count.get(COUNT, 0)), frozenset(told), count.get(PHONES))

    handlers = Handlers(keys=keys, view=view)
    handlers.on(*WORDS, with_envelope=True)(write_down)
    handlers.on(CompensationStarted)(remember_why)
    handlers.on(CustomerRegistered, with_envelope=True)(get_to_know)
    handlers.on(PasswordChanged)(warn_of_password)
    return handlers
