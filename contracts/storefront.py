"""What storefront tells the others."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from sagashop.messages import Message


class _Event(Message):
    channel: ClassVar[str] = "storefront.events"


class ProductPriced(_Event):
    """A product as it is sold from now on. `revision` grows with each change; a reader keeps the highest."""

    sku: str
    revision: int
    name: str
    category: str
    price_cents: int
    on_sale: bool = True


class CustomerRegistered(_Event):
    """A customer as orders, payments and e-mail need to know them; `revision` as above.

    registered_ms: when they signed up, milliseconds since 1970; 0 where it is not told. The time of a republished event
    is that of republishing it; this one tells a new customer from an old one.
    """

    customer_id: str
    revision: int
    name: str
    email: str
    registered_ms: int = 0


class PasswordChanged(_Event):
    """A customer has a new password, since `changed_ms` (milliseconds since 1970). It tells nothing of either one."""

    customer_id: str
    changed_ms: int


Kind = Literal["signup", "login", "page_view", "add_to_cart", "purchase", "logout"]


class Activity(Message):
    """What a visitor did. `tags` holds what belongs to the kind, for example the page or the sku; values may nest."""

    channel: ClassVar[str] = "storefront.behaviour"

    kind: Kind
    visitor_id: str
    customer_id: str | None = None
    tags: dict[str, object] = msgspec.field(default_factory=dict)
