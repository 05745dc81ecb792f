"""What the other services are told about products and customers, ready for the outbox.

The id and the place in the history come from the revision, so a republished event is a copy of the first one.
"""

from __future__ import annotations

import msgspec

from contracts.storefront import CustomerRegistered, PasswordChanged, ProductPriced
from sagashop import outbox
from sagashop.messages import Envelope, Message, now_ms
from services.storefront.domain import Customer, Product


def priced(product: Product) -> Envelope:
    """The product as it is sold from now on."""
    event = ProductPriced(
        sku=product.sku, revision=product.revision, name=product.name, category=product.category,
        price_cents=product.price_cents, on_sale=product.on_sale,
    )  # fmt: skip
    return _revision(event, f"product:{product.sku}", product.revision)


def registered(customer: Customer) -> Envelope:
    """The customer as orders, payments and e-mail need to know them."""
    event = CustomerRegistered(
        customer_id=customer.id, revision=customer.revision, name=customer.name, email=customer.email,
        registered_ms=customer.created_ms,
    )  # fmt: skip
    return _revision(event, f"customer:{customer.id}", customer.revision)


def password_changed(customer_id: str) -> Envelope:
    """It is told once, and not republished."""
    return outbox.wrap(PasswordChanged(customer_id=customer_id, changed_ms=now_ms()), "storefront")


def _revision(event: Message, aggregate: str, sequence: int) -> Envelope:
    wrapped = outbox.wrap(event, "storefront")
    return msgspec.structs.replace(wrapped, id=f"{aggregate}.{sequence}", aggregate=aggregate, sequence=sequence)
