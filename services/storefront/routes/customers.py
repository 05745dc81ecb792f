"""Signing up, logging in and out. The guest's cart comes along."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, make_response

from contracts.storefront import Activity, Kind
from sagashop import log as logs
from sagashop.errors import Forbidden, NotLoggedIn
from sagashop.web import auth
from sagashop.web.inputs import Answer, Input, accepts
from services.storefront import carts, cookies
from services.storefront.domain import (
    BadEmail,
    BadName,
    Customer,
    EmailTaken,
    Role,
    TooManyAttempts,
    WeakPassword,
    WrongCredentials,
)
from services.storefront.routes import owner
from services.storefront.shop import Shop


class SignUp(Input, frozen=True, kw_only=True):
    name: str
    email: str
    password: str


class LogIn(Input, frozen=True, kw_only=True):
    email: str
    password: str


class CustomerView(msgspec.Struct, kw_only=True):
    customer_id: str
    name: str
    email: str
    role: Role


class SessionView(msgspec.Struct, kw_only=True):
    """Who this browser is to the shop. A guest has a cart too, once something is in it."""

    logged_in: bool
    customer_id: str | None = None
    name: str | None = None
    role: Role | None = None
    cart_id: str | None = None


def routes(shop: Shop) -> Blueprint:
    people = Blueprint("customers", __name__, url_prefix="/api")

    @people.post("/customers")
    @accepts(
        json=SignUp, answers={201: CustomerView}, problems=[BadName, BadEmail, WeakPassword, EmailTaken]
    )  # fmt: skip
    def sign_up(json: SignUp) -> Answer:
        """A new customer, who is logged in at once."""
        shop.check_sessions()  # before the account is written: who cannot be logged in shall not be half signed up
        customer = shop.customers.register(json.name, json.email, json.password)
        return welcome(customer, "signup")

    @people.get("/customers/me")
    @accepts(answers=CustomerView, problems=[NotLoggedIn])
    def me() -> Answer:
        """The one who is logged in."""
        customer = shop.customers.get(auth.require_login().user_id)
        if customer is None:
            raise NotLoggedIn
        return view(customer)

    @people.post("/session")
    @accepts(json=LogIn, answers={201: CustomerView}, problems=[WrongCredentials, TooManyAttempts])
    def log_in(json: LogIn) -> Answer:
        """Log in; the session before ends, and the guest's cart is added to the customer's."""
        shop.attempts.count(json.email)
        customer = shop.customers.log_in(json.email, json.password)
        shop.attempts.forget(json.email)
        return welcome(customer, "login")

    @people.get("/session")
    @accepts(answers=SessionView)
    def session() -> Answer:
        """Who is logged in here; a guest gets an answer too."""
        cookies.ensure(cookies.VISITOR)
        who, cart_owner = auth.current(), owner.here()
        cart_id = shop.carts.get(cart_owner).id if cart_owner else None
        if who is None:
            return SessionView(logged_in=False, cart_id=cart_id)
        return SessionView(logged_in=True, customer_id=who.user_id, name=who.name, role=who.role, cart_id=cart_id)

    @people.get("/session/operator")
    @accepts(answers={204: None}, problems=[NotLoggedIn, Forbidden])
    def operator() -> Answer:
        """Is an operator logged in here? Nginx asks it before it lets anybody to the consoles."""
        auth.require_operator()
        return make_response("", 204)

    @people.delete("/session")
    @accepts(answers={204: None})
    def log_out_here() -> Answer:
        """End this browser's session; without one nothing happens."""
        return farewell(everywhere=False)

    @people.delete("/session/everywhere")
    @accepts(answers={204: None})
    def log_out_everywhere() -> Answer:
        """End every session of this customer, on every device."""
        return farewell(everywhere=True)

    def welcome(customer: Customer, kind: Kind) -> Response:
        response = make_response(view(customer), 201)
        auth.log_in(response, auth.Who(customer.id, customer.role, customer.name))
        if secret := cookies.read(cookies.CART):
            shop.carts.merge(carts.guest(secret), carts.customer(customer.id))
        tell(kind, customer.id)
        return response

    def farewell(*, everywhere: bool) -> Response:
        who, response = auth.current(), make_response("", 204)
        auth.log_out(response, everywhere=everywhere)
        if who:
            tell("logout", who.user_id)
        return response

    def tell(kind: Kind, customer_id: str) -> None:
        visitor_id = cookies.ensure(cookies.VISITOR)
        shop.behaviour.track(Activity(kind=kind, visitor_id=visitor_id, customer_id=customer_id), logs.current("trace"))

    return people


def view(customer: Customer) -> CustomerView:
    return CustomerView(customer_id=customer.id, name=customer.name, email=customer.email, role=customer.role)
