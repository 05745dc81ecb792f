"""What no house can see alone: money and goods of each order agree with where the order stands. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from sagashop.audit.facts import Check, Fact, GoodsFact, OrderFact, PaymentFact, Tally

HOUSE = "all"
UNKNOWN = "unknown"

MONEY = {
    "completed": {"captured"},
    "rejected": {UNKNOWN, "declined", "released"},
    "cancelled": {UNKNOWN, "declined", "released"},
    "refunded": {"refunded"},
}
"""Where an order's money may be, by the order's final status."""

GOODS = {
    "completed": {"shipping", "shipped"},
    "rejected": {UNKNOWN, "rejected", "released"},
    "cancelled": {UNKNOWN, "rejected", "released"},
    "refunded": {"recalled", "shipped"},
}
"""Where its goods may be. A refunded order keeps its goods sold if the parcel had left."""

UNDOES = {
    "PaymentReleased": "payment",
    "PaymentRefunded": "capture",
    "StockReleased": "stock",
    "ShipmentCancelled": "shipment",
}
"""The step that each compensation undoes."""


class Joined:
    """The facts of all houses, by order."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.orders: dict[str, OrderFact] = {}
        self.payments: dict[str, PaymentFact] = {}
        self.goods: dict[str, GoodsFact] = {}
        for fact in facts:
            match fact:
                case OrderFact():
                    self.orders[fact.order_id] = fact
                case PaymentFact():
                    self.payments[fact.order_id] = fact
                case GoodsFact():
                    self.goods[fact.order_id] = fact

    def checks(self) -> Iterator[Check]:
        """The joined checks. An order under way is left out: where it stands changes while we look."""
        yield self._money()
        yield self._goods()
        yield self._known()
        yield self._undos()
        yield self._orphans()

    def _settled(self) -> Iterator[OrderFact]:
        return (order for order in self.orders.values() if order.settled)

    def _money(self) -> Check:
        tally = Tally("the money of each order agrees with its status")
        for order in self._settled():
            payment = self.payments.get(order.order_id)
            tally.saw()
            if (status := payment.status if payment else UNKNOWN) not in MONEY[order.status]:
                tally.found(f"order {order.order_id} is {order.status}, its payment {status}")
            elif payment and status in {"captured", "refunded"} and _differs(order, payment):
                tally.found(f"order {order.order_id}: {payment.amount_cents} cents {status} of {order.total_cents}")
        return tally.check(HOUSE)

    def _goods(self) -> Check:
        tally = Tally("the goods of each order agree with its status")
        for order in self._settled():
            goods = self.goods.get(order.order_id)
            tally.saw()
            if (status := goods.status if goods else UNKNOWN) not in GOODS[order.status]:
                tally.found(f"order {order.order_id} is {order.status}, its goods are {status}")
            elif goods and goods.items and goods.items != order.items:
                tally.found(f"order {order.order_id} is for {order.items}, put aside were {goods.items}")
        return tally.check(HOUSE)

    def _known(self) -> Check:
        tally = Tally("what was asked of a house is known there")
        for order in self._settled():
            for step, known in (("stock", self.goods), ("payment", self.payments)):
                if order.steps.get(step, "idle") != "idle":
                    tally.saw()
                    if order.order_id not in known:
                        tally.found(f"order {order.order_id}: {step} was asked, and left no trace")
        return tally.check(HOUSE)

    def _undos(self) -> Check:
        tally = Tally("every compensation was asked for by its order")
        known: Iterable[PaymentFact | GoodsFact] = chain(self.payments.values(), self.goods.values())
        for done in known:
            order = self.orders.get(done.order_id)
            for event in done.events.keys() & UNDOES.keys():
                tally.saw()
                step = UNDOES[event]
                if order and order.steps.get(step) not in {"undoing", "undone"}:
                    tally.found(f"order {done.order_id}: {event}, but its step {step} is {order.steps.get(step)}")
        return tally.check(HOUSE)

    def _orphans(self) -> Check:
        tally = Tally("every payment and reservation belongs to an order")
        for what, known in (("payment", self.payments), ("reservation", self.goods)):
            tally.saw(len(known))
            for order_id in known.keys() - self.orders.keys():
                tally.found(f"a {what} of order {order_id}, which orders does not know")
        return tally.check(HOUSE)


def _differs(order: OrderFact, payment: PaymentFact) -> bool:
    return (payment.amount_cents, payment.customer_id) != (order.total_cents, order.customer_id)
