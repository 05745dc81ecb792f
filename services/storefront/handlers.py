"""What storefront does when an order is placed: empty the cart it came from, and tell of the purchase."""

from __future__ import annotations

from collections.abc import Callable

from contracts.orders import OrderPlaced
from contracts.storefront import Activity
from sagashop.effects import Effects
from sagashop.handlers import Handlers

Settle = Callable[[str, str, int], tuple[bool, str]]
"""(customer id, cart id, version) → whether the cart was emptied, and the visitor who had filled it: `Carts.settle`."""


def make_handlers(settle: Settle) -> Handlers:
    """The handlers around the one effect that redis-ledger cannot commit, since carts live in redis-session."""
    handlers = Handlers(keys=lambda message: [], view=lambda message, rows: None)

    @handlers.on(OrderPlaced)
    def empty_cart(order: OrderPlaced, no_state: None) -> Effects:
        """Empty the cart if it is still the one that was ordered; whatever was put in since stays.

        Delivery: at least once. Emptying comes before the acknowledgement and may happen again; the version, which has
        moved on by then, makes the repetition do nothing. The event takes effect once, with the acknowledgement.
        """
        visitor_id = ""
        if order.cart_id is not None and order.cart_version is not None:
            _emptied, visitor_id = settle(order.customer_id, order.cart_id, order.cart_version)
        tags: dict[str, object] = {
            "order_id": order.order_id,
            "total_cents": order.total_cents,
            "skus": [line.sku for line in order.lines],
        }
        purchase = Activity(kind="purchase", visitor_id=visitor_id, customer_id=order.customer_id, tags=tags)
        return Effects(emit=[purchase])

    return handlers
