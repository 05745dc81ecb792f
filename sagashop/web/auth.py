"""Who is asking. The session's token is in a cookie that scripts cannot read; every service understands it."""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from flask import Flask, Response, current_app, g, request

from sagashop.errors import Forbidden, NotLoggedIn
from sagashop.sessions import Session, Sessions
from sagashop.settings import Settings

COOKIE = "sagashop_session"
EXTENSION = "sagashop.auth"

Role = Literal["customer", "operator"]


class Who(msgspec.Struct, frozen=True):
    """The person who is logged in."""

    user_id: str
    role: Role
    name: str


def install(app: Flask, sessions: Sessions | None, settings: Settings) -> None:
    """Let the views of this app ask who is logged in."""
    app.extensions[EXTENSION] = (sessions, settings)


def current() -> Who | None:
    """Who is logged in, or None. Asks redis-session once a request, and keeps the session alive."""
    if "session" not in g:
        token = request.cookies.get(COOKIE)
        g.session = _sessions().get(token) if token else None
    session = cast("Session | None", g.session)
    return Who(session.user_id, session.role, session.name) if session else None


def require_login() -> Who:
    """Whoever is logged in, customer or operator.

    Raises:
        NotLoggedIn: there is no session, or it has ended
    """
    who = current()
    if who is None:
        raise NotLoggedIn
    return who


def require_customer() -> Who:
    """The customer who is logged in.

    Raises:
        NotLoggedIn: there is no session, or it has ended
        Forbidden:   an operator is logged in
    """
    return _in_role("customer")


def require_operator() -> Who:
    """The operator who is logged in.

    Raises:
        NotLoggedIn: there is no session, or it has ended
        Forbidden:   a customer is logged in
    """
    return _in_role("operator")


def log_in(response: Response, who: Who, *, alone: bool = False) -> None:
    """Start a session in this browser. The token is new and the one before ends: a planted token is worth nothing.

    alone: all other sessions of the user end, too
    """
    settings = _settings()
    token = _sessions().create(who.user_id, who.name, who.role, replaces=request.cookies.get(COOKIE), alone=alone)
    response.set_cookie(
        COOKIE, token, max_age=settings.session_max_s, httponly=True, samesite="Lax", secure=settings.cookie_secure
    )


def log_out(response: Response, *, everywhere: bool = False) -> None:
    """End the session of this browser, or every session of its user. Without a session it does nothing."""
    token, who = request.cookies.get(COOKIE), current()
    if who and everywhere:
        _sessions().logout_everywhere(who.user_id)
    elif token:
        _sessions().logout(token)
    response.delete_cookie(COOKIE, httponly=True, samesite="Lax", secure=_settings().cookie_secure)


def log_out_all(who: Who) -> None:
    """End every session of a user, wherever it is."""
    _sessions().logout_everywhere(who.user_id)


def _in_role(role: Role) -> Who:
    who = require_login()
    if who.role != role:
        raise Forbidden(f"This is for {role}s.")
    return who


def _sessions() -> Sessions:
    sessions = current_app.extensions[EXTENSION][0]
    if sessions is None:
        raise RuntimeError("this service was made without sessions; pass them to create_app")
    return cast("Sessions", sessions)


def _settings() -> Settings:
    return cast("Settings", current_app.extensions[EXTENSION][1])
