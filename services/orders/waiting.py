"""`Prefer: wait=N` (RFC 7240): a client that would rather wait a little and have the outcome in the same answer."""

from __future__ import annotations

import re
import threading
import time

from sagashop.errors import Unavailable
from services.orders.domain import Order, OrderStatus
from services.orders.history import Orders

OPEN = frozenset({OrderStatus.PLACED, OrderStatus.REJECTING, OrderStatus.CANCELLING})
"""The outcome is not known yet, or its compensations are still under way."""
_wait = re.compile(r"""^wait\s*=\s*"?(\d{1,9})"?\s*(;.*)?$""", re.IGNORECASE)
FIRST_LOOK_S, LOOKS_S = 0.01, 0.05


def wanted_wait_s(prefer: str) -> int | None:
    """The seconds in a Prefer header. A preference is no demand: what cannot be read counts as not said."""
    found = (_wait.match(preference.strip()) for preference in prefer.split(","))
    return next((int(match[1]) for match in found if match), None)


class WaitingRoom:
    """Has a few places, so that those who wait never take the threads of those who order.

    max_s:  longest wait, seconds
    places: how many may wait at a time in this process
    """

    def __init__(self, orders: Orders, max_s: float, places: int) -> None:
        self._orders, self._max_s = orders, max_s
        self._places = threading.Semaphore(places)

    def wait(self, order: Order, wait_s: float) -> tuple[Order, float | None]:
        """The order when its outcome is known or the time is over, and the wait that was granted, if any.

        It looks at the row at growing distances, 10 to 50 ms, one round trip each. It never fails: the order is
        placed, and who cannot be told the outcome is told that.
        """
        granted_s = min(wait_s, self._max_s)
        if not self._places.acquire(blocking=False):
            return order, None
        try:
            return self._outcome(order, time.monotonic() + granted_s), granted_s
        finally:
            self._places.release()

    def _outcome(self, order: Order, deadline: float) -> Order:
        pause_s = FIRST_LOOK_S
        while order.status in OPEN and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(pause_s, left_s))
            pause_s = min(LOOKS_S, pause_s * 1.5)
            try:
                order = self._orders.row(order.order_id) or order
            except Unavailable:
                break
        return order
