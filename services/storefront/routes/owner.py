"""Whose cart this request is about."""

from __future__ import annotations

from sagashop.web import auth
from services.storefront import carts, cookies
from services.storefront.carts import Owner


def here() -> Owner | None:
    """The customer who is logged in, else the guest's cookie; None for a guest who never had a cart."""
    if who := auth.current():
        return carts.customer(who.user_id)
    secret = cookies.read(cookies.CART)
    return carts.guest(secret) if secret else None


def here_for_good() -> Owner:
    """As `here`, but a guest gets the cookie now, or again, so that it lives as long as the cart."""
    if who := auth.current():
        return carts.customer(who.user_id)
    return carts.guest(cookies.ensure(cookies.CART))
