"""What customers change about their own account."""

from __future__ import annotations

from flask import Blueprint, make_response

from sagashop.errors import Forbidden, NotLoggedIn
from sagashop.web import auth
from sagashop.web.inputs import Answer, Input, accepts
from services.storefront.domain import TooManyAttempts, WeakPassword, WrongPassword
from services.storefront.shop import Shop


class ChangePassword(Input, frozen=True, kw_only=True):
    """Both as they are typed."""

    current_password: str
    new_password: str


def routes(shop: Shop) -> Blueprint:
    account = Blueprint("account", __name__, url_prefix="/api/account")

    @account.post("/password")
    @accepts(
        json=ChangePassword,
        answers={204: None},
        problems=[NotLoggedIn, Forbidden, WrongPassword, WeakPassword, TooManyAttempts],
    )
    def change_password(json: ChangePassword) -> Answer:
        """Choose a new password. Every session of the customer ends; this browser gets a new one.

        The sessions end before the new password holds, so that none outlives the old one, and once more after it, for
        those that began in between. Who was given a stolen session guesses no faster than at the log-in.
        """
        who = auth.require_customer()
        customer = shop.customers.get(who.user_id)
        if customer is None:
            raise NotLoggedIn
        shop.attempts.count(customer.email)
        shop.customers.change_password(
            customer, json.current_password, json.new_password, then=lambda: auth.log_out_all(who)
        )
        shop.attempts.forget(customer.email)
        response = make_response("", 204)
        auth.log_in(response, who, alone=True)
        return response

    return account
