"""What pages tell about their visitors, and what the operator may ask of this service."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from flask import Blueprint

from contracts.storefront import Activity
from sagashop import log as logs
from sagashop.errors import Forbidden, NotLoggedIn
from sagashop.web import auth
from sagashop.web.inputs import Answer, Input, accepts
from services.storefront import cookies
from services.storefront.domain import BadTags, check_tags
from services.storefront.shop import Shop


class Seen(Input, frozen=True, kw_only=True):
    """Browsers tell of pages only; the rest we know better ourselves. Tags: up to 20, 2 KB, 4 levels."""

    kind: Literal["page_view"]
    tags: dict[str, Any] = {}


class Republished(msgspec.Struct, kw_only=True):
    """How much was written into the outbox again."""

    products: int
    customers: int


def routes(shop: Shop) -> Blueprint:
    desk = Blueprint("desk", __name__)

    @desk.post("/api/activity")
    @accepts(json=Seen, answers={202: None}, problems=[BadTags])
    def tell(json: Seen) -> Answer:
        """A page was looked at. Best effort: 202 does not promise that it is recorded."""
        who, visitor_id = auth.current(), cookies.ensure(cookies.VISITOR)
        seen = Activity(
            kind=json.kind, visitor_id=visitor_id, customer_id=who.user_id if who else None, tags=check_tags(json.tags)
        )
        shop.behaviour.track(seen, logs.current("trace"))
        return "", 202

    @desk.post("/admin/storefront/republish")
    @accepts(answers={202: Republished}, problems=[NotLoggedIn, Forbidden])
    def republish() -> Answer:
        """Tell the other services of every product and customer again; they keep the highest revision."""
        auth.require_operator()
        return Republished(products=shop.catalogue.announce_all(), customers=shop.customers.announce_all()), 202

    return desk
