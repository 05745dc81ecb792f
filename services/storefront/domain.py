"""What the shop sells, to whom, and the rules for both. Pure: no database, no web."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from sagashop.errors import Conflict, Forbidden, InvalidRequest, NotFound, Problem

MAX_PRICE_CENTS = 100_000_00
MAX_QUANTITY = 99
MAX_LINES = 50
MIN_PASSWORD, MAX_PASSWORD = 8, 200
MAX_EMAIL = 254

Role = Literal["customer", "operator"]

_sku = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)*")
_category = re.compile(r"[a-z]+(-[a-z]+)*")
_email = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+\.[^@\s\x00-\x1f]+")


class UnknownProduct(NotFound):
    kind, title = "unknown-product", "We do not know this product"


class NotOnSale(Conflict):
    kind, title = "not-on-sale", "This product is not sold at the moment"


class SkuTaken(Conflict):
    kind, title = "sku-taken", "Another product has this SKU"


class BadProduct(InvalidRequest):
    kind, title = "bad-product", "The product's data break a rule of the catalogue"


class BadQuantity(InvalidRequest):
    kind, title = "bad-quantity", f"A cart line holds 1 to {MAX_QUANTITY} pieces; 0 removes it"


class CartFull(Conflict):
    kind, title = "cart-full", f"A cart holds at most {MAX_LINES} different products"


class BadName(InvalidRequest):
    kind, title = "bad-name", "A name has 1 to 100 characters"


class BadEmail(InvalidRequest):
    kind, title = "bad-email", "This is not an e-mail address"


class EmailTaken(Conflict):
    kind, title = "email-taken", "Somebody has signed up with this e-mail address; log in instead"


class WeakPassword(InvalidRequest):
    kind, title = "weak-password", f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"


class WrongCredentials(Problem):
    """The same answer for an unknown address and a wrong password, so that it tells nobody who is a customer."""

    kind, status, title = "wrong-credentials", 401, "E-mail or password is wrong"


class WrongPassword(Forbidden):
    """Somebody is logged in, and does not know the password of this account."""

    kind, title = "wrong-password", "This is not your current password"


class TooManyAttempts(Problem):
    """The same answer for a known and an unknown address, and for a right and a wrong password."""

    kind, status, title = "too-many-attempts", 429, "Too many attempts with the password of this account; wait a moment"


class BadTags(InvalidRequest):
    kind, title = "bad-tags", "The tags are too many, too long, or nested too deeply"


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A product as it is sold. `revision` starts at 1 and grows by one with each change."""

    sku: str
    name: str
    category: str
    description: str
    price_cents: int
    on_sale: bool = True
    revision: int = 1


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can log in; an operator is one too, with another role."""

    id: str
    name: str
    email: str
    role: Role = "customer"
    revision: int = 1
    created_ms: int = 0


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody means to buy: pieces by SKU. `version` grows with every change; 0 and no id: never used."""

    id: str | None = None
    version: int = 0
    quantities: dict[str, int] = {}


def check_product(product: Product) -> Product:
    """The product itself, if it may stand in the catalogue.

    Raises:
        BadProduct: says which rule is broken.
    """
    rules = {
        "sku: capital letters and digits in groups joined by hyphens, up to 40 characters": is_sku(product.sku),
        "category: small letters in words joined by hyphens, up to 40 characters": bool(
            _category.fullmatch(product.category) and len(product.category) <= 40
        ),
        "name: 1 to 100 characters on one line": _is_text(product.name, 100),
        "description: 1 to 1000 characters on one line": _is_text(product.description, 1000),
        f"price_cents: 1 to {MAX_PRICE_CENTS}": 1 <= product.price_cents <= MAX_PRICE_CENTS,
    }
    broken = [rule for rule, kept in rules.items() if not kept]
    if broken:
        raise BadProduct("; ".join(broken))
    return product


def is_sku(text: str) -> bool:
    """Whether a product could have this SKU."""
    return len(text) <= 40 and _sku.fullmatch(text) is not None


def check_quantity(quantity: int) -> int:
    """Pieces that a cart line may be set to; 0 removes the line. Raises BadQuantity."""
    if not 0 <= quantity <= MAX_QUANTITY:
        raise BadQuantity(f"{quantity} is outside 0 to {MAX_QUANTITY}.")
    return quantity


def total_cents(quantities: Mapping[str, int], prices_cents: Mapping[str, int]) -> int:
    """What these pieces cost together, cents."""
    return sum(pieces * prices_cents[sku] for sku, pieces in quantities.items())


def normal_email(text: str) -> str:
    """The form in which an address is kept and compared: no blanks around it, small letters. Raises BadEmail."""
    email = text.strip().lower()
    if len(email) > MAX_EMAIL or not _email.fullmatch(email):
        raise BadEmail
    return email


def check_name(text: str) -> str:
    """A person's name without blanks around it. Raises BadName."""
    name = text.strip()
    if not _is_text(name, 100):
        raise BadName
    return name


def check_password(password: str) -> str:
    """A password that may be chosen; every character counts, blanks too. Raises WeakPassword."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise WeakPassword
    return password


def check_tags(tags: dict[str, object]) -> dict[str, object]:
    """Tags that a browser may send along: up to 20, 2 KB as JSON, nested up to 4 deep. Raises BadTags."""
    if len(tags) > 20 or _depth(tags) > 4 or len(msgspec.json.encode(tags)) > 2048:
        raise BadTags
    return tags


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _is_text(text: str, longest: int) -> bool:
    """Something to read: not blank, no control characters, not too long."""
    return text.strip() != "" and len(text) <= longest and text.isprintable()
