"""Cancelling an order: before the pivot its saga goes back, after it the money is refunded."""

from __future__ import annotations

from sagashop.bus import Bus, GuardFailed
from sagashop.errors import Conflict
from sagashop.saga import Saga
from sagashop.web.auth import Who
from services.orders import store
from services.orders.domain import Order, OrderStatus, cancel, evolve
from services.orders.history import Orders
from services.orders.views import TooLate

ROUNDS = 5
REFUSED_BY_US = frozenset({OrderStatus.REJECTING, OrderStatus.REJECTED})


class Cancelling:
    """Takes cancellations."""

    def __init__(self, bus: Bus, orders: Orders, saga: Saga) -> None:
        self._bus, self._orders, self._saga = bus, orders, saga

    def cancel(self, who: Who, order_id: str, reason: str, trace: str = "") -> Order:
        """The order on its way back, or already back: asking twice has the effect of asking once.

        The guard on the order's version decides the race with the saga; who loses it looks again.

        Raises:
            NoOrder:     it does not exist, or belongs to somebody else
            TooLate:     the shop has refused the order by itself, or it was settled over a day ago
            Unavailable: redis-ledger does not answer, or is nearly full
        """
        for _ in range(ROUNDS):
            order = self._orders.seen_by(who, order_id)
            event = cancel(self._saga, order, reason)
            if event is None:
                return _already(order)
            try:
                self._bus.admit("orders", store.record(self._saga, order, event), trace)
            except GuardFailed:
                if self._orders.row(order_id) is None:
                    raise TooLate("It was completed over a day ago.", order_status=order.status.value) from None
                continue
            return evolve(self._saga, order, event)
        raise Conflict("The order is moving on right now. Try again.")


def _already(order: Order) -> Order:
    """A repeated cancellation finds what it wanted; an order that we refused was never the customer's to cancel."""
    if order.status in REFUSED_BY_US:
        raise TooLate("It was refused, and nothing is charged.", order_status=order.status.value)
    return order
