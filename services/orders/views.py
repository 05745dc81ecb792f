"""What orders takes and answers over HTTP. Money in cents; times in milliseconds since 1970, UTC."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from contracts.orders import Line
from sagashop.errors import Conflict, InvalidRequest
from sagashop.pages import Paging
from sagashop.saga import StepState
from sagashop.web.shapes import Input
from services.orders.domain import SETTLED, Order, OrderStatus

MAX_QUANTITY = 99
Id = Annotated[str, Meta(min_length=1, max_length=64)]


class WantedLine(Input, frozen=True, kw_only=True):
    sku: Id
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]


class PlaceOrder(Input, frozen=True, kw_only=True):
    """What the customer wants. Several lines of one product count as one.

    cart_id, cart_version: the cart this comes from; it is emptied if it is still the same, and is ordered once
    expected_total_cents:  what the customer saw; at any other total nothing is placed
    """

    lines: Annotated[list[WantedLine], Meta(min_length=1, max_length=50)]
    cart_id: Id | None = None
    cart_version: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    expected_total_cents: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class Cancellation(Input, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(max_length=200, description="For the order's history")] = ""


class UnknownProduct(InvalidRequest):
    kind, title = "unknown-product", "We do not sell this"


class NotOnSale(InvalidRequest):
    kind, title = "not-on-sale", "This is not on sale any more"


class BadIdempotencyKey(InvalidRequest):
    kind, title = "bad-idempotency-key", "An Idempotency-Key has 1 to 128 printable ASCII characters"


class KeyReused(InvalidRequest):
    kind, title = "idempotency-key-reused", "Another order was placed under this key"


class PriceChanged(Conflict):
    kind, title = "price-changed", "The total is another than expected; nothing was placed"


class TooLate(Conflict):
    kind, title = "too-late", "This order can no longer be cancelled"


class OrderView(Struct, frozen=True, kw_only=True):
    """An order. `settled`: nothing is under way; `version`: how many events it has had."""

    order_id: str
    customer_id: str
    status: OrderStatus
    settled: bool
    total_cents: int
    lines: list[Line]
    reason: str
    tracking: str
    version: int

    @classmethod
    def of(cls, order: Order) -> OrderView:
        return cls(
            order_id=order.order_id, customer_id=order.customer_id, status=order.status,
            settled=order.status in SETTLED, total_cents=order.total_cents, lines=order.lines,
            reason=order.reason, tracking=order.tracking, version=order.version,
        )  # fmt: skip


class OrderQuery(Paging, frozen=True, kw_only=True):
    """`customer_id` is for operators, who see everybody's orders without it."""

    status: OrderStatus | None = None
    customer_id: Id | None = None


class ListedOrder(Struct, frozen=True, kw_only=True):
    """A row of the order list. `line_count`: its products; `updated_ms`: when the status changed last."""

    order_id: str
    customer_id: str
    status: OrderStatus
    total_cents: int
    line_count: int
    placed_ms: int
    updated_ms: int
    reason: str


class OrderPage(Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: list[ListedOrder]
    next_cursor: str | None


class SagaQuery(Paging, frozen=True, kw_only=True):
    """Without a status: every order that is not settled."""

    status: OrderStatus | None = None


class SagaRow(ListedOrder, frozen=True, kw_only=True):
    """`steps` and `version` as redis-ledger has them now; none where the order has left it."""

    version: int
    steps: dict[str, StepState]


class SagaPage(Struct, frozen=True, kw_only=True):
    items: list[SagaRow]
    next_cursor: str | None


class ReadModelView(Struct, frozen=True, kw_only=True):
    """`rebuilding`: a rebuild is asked for or under way, and readers see the old rows until it is done."""

    name: str
    version: int
    rebuilding: bool
    orders: int
