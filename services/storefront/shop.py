"""The parts that the routes work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.storefront.attempts import Attempts
from services.storefront.behaviour import Behaviour
from services.storefront.carts import Carts
from services.storefront.catalogue import Catalogue
from services.storefront.customers import Customers


@dataclass(frozen=True, slots=True)
class Shop:
    """Made by the factory in `app.py`. `check_sessions` raises NotReachable where nobody could log in."""

    catalogue: Catalogue
    customers: Customers
    attempts: Attempts
    carts: Carts
    behaviour: Behaviour
    check_sessions: Callable[[], None]
