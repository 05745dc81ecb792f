"""`GET /admin/<service>/audit`: a house's own checks and its facts, and `…/open-work`: is anything left to do?"""

from __future__ import annotations

from flask import Blueprint, Response

from sagashop.audit.facts import OpenWork, to_lines
from sagashop.audit.house import House
from sagashop.errors import Forbidden, NotLoggedIn
from sagashop.web.auth import require_operator
from sagashop.web.inputs import Answer, accepts

OPERATORS_ONLY = [NotLoggedIn, Forbidden]


def audit_blueprint(house: House) -> Blueprint:
    """The operator's view of one house. It reads much: some seconds of this process for 20,000 orders."""
    routes = Blueprint("audit", __name__, url_prefix=f"/admin/{house.service}/audit")
    routes.before_request(_operators_only)

    @routes.get("")
    @accepts(problems=OPERATORS_ONLY)
    def audit() -> Answer:
        """Lines of JSON, the last one of them `{"type": "end"}`: without it the audit broke off."""
        house.open_work()  # a server that is away is answered with 503, before the first line
        return Response(to_lines(house.facts()), mimetype="application/x-ndjson")

    @routes.get("/open-work")
    @accepts(answers=OpenWork, problems=OPERATORS_ONLY)
    def open_work() -> Answer:
        return house.open_work()

    return routes


def _operators_only() -> None:
    require_operator()
