"""Two cookies beside the session: who visits, and which cart is a guest's. Both hold a random id; use prolongs them."""

from __future__ import annotations

import re

from flask import Flask, Response, g, request

from sagashop.messages import new_id
from services.storefront.settings import A_DAY_S, StorefrontSettings

VISITOR, CART = "sagashop_visitor", "sagashop_cart"
VISITOR_TTL_S = 365 * A_DAY_S

_id = re.compile(r"[0-9a-f]{32}")


def install(app: Flask, settings: StorefrontSettings) -> None:
    """Hand the cookies out with the answers that need them."""
    lives_s = {VISITOR: VISITOR_TTL_S, CART: settings.cart_ttl_s}

    @app.after_request
    def hand_out(response: Response) -> Response:
        for name, value in g.get("cookies", {}).items():
            response.set_cookie(
                name, value, max_age=lives_s[name], httponly=True, samesite="Lax", secure=settings.cookie_secure
            )
        return response


def read(name: str) -> str | None:
    """The id in this cookie; None where there is none, or something that is not of ours."""
    value = request.cookies.get(name, "")
    return value if _id.fullmatch(value) else None


def ensure(name: str) -> str:
    """The id in this cookie, a new one where there is none; the answer sets the cookie (again)."""
    handed_out: dict[str, str] = g.setdefault("cookies", {})
    if name not in handed_out:
        handed_out[name] = read(name) or new_id()
    return handed_out[name]
