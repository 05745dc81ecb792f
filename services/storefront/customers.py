"""Customers in SQL. A new customer and its `CustomerRegistered` are written in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError

from sagashop import outbox
from sagashop.messages import new_id, now_ms
from services.storefront import news
from services.storefront.domain import (
    Customer,
    EmailTaken,
    Role,
    WrongCredentials,
    WrongPassword,
    check_name,
    check_password,
    normal_email,
)
from services.storefront.passwords import Passwords
from services.storefront.tables import customers

log = structlog.get_logger()

_columns = [customers.c[name] for name in Customer.__struct_fields__]


class Customers:
    """Everybody who can log in. Operators are staff: other services are not told about them."""

    def __init__(self, engine: sa.Engine, passwords: Passwords) -> None:
        self._engine, self._passwords = engine, passwords

    def register(self, name: str, email: str, password: str, role: Role = "customer") -> Customer:
        """Sign somebody up. Raises BadName, BadEmail, WeakPassword and EmailTaken."""
        customer = Customer(
            id=new_id(), name=check_name(name), email=normal_email(email), role=role, created_ms=now_ms()
        )
        secret = self._passwords.hash(check_password(password))
        row = {
            **{field: getattr(customer, field) for field in Customer.__struct_fields__},
            "password_hash": secret,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(customers).values(row))
                if role == "customer":
                    outbox.add(connection, news.registered(customer))
        except IntegrityError:
            raise EmailTaken from None
        return customer

    def log_in(self, email: str, password: str) -> Customer:
        """The customer with this address and password. Raises WrongCredentials, for both alike and as slowly."""
        customer, kept = self._find(email.strip().lower()) or (None, None)
        if not self._passwords.fits(kept, password) or customer is None:
            raise WrongCredentials
        return customer

    def get(self, customer_id: str) -> Customer | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(*_columns).where(customers.c.id == customer_id)).first()
        return _customer(row) if row else None

    def change_password(self, customer: Customer, current: str, new: str, then: Callable[[], None]) -> None:
        """Give a customer a new password, and tell of it. `then` is done before that holds, and if it raises, nothing
        is changed.

        Raises:
            WeakPassword:  the new one may not be chosen
            WrongPassword: the current one is another, or was changed just now
        """
        check_password(new)
        found = self._find(customer.email)
        if found is None or not self._passwords.fits(found[1], current):
            raise WrongPassword
        secret = self._passwords.hash(new)
        unchanged = sa.and_(customers.c.id == customer.id, customers.c.password_hash == found[1])
        with self._engine.begin() as connection:
            changed = connection.execute(sa.update(customers).where(unchanged).values(password_hash=secret))
            if not changed.rowcount:
                raise WrongPassword
            outbox.add(connection, news.password_changed(customer.id))
            then()

    def ensure(self, name: str, email: str, password: str, role: Role) -> None:
        """Make sure that this account exists with this password; safe when several processes do it at once."""
        found = self._find(normal_email(email))
        if found is None:
            try:
                self.register(name, email, password, role)
                log.info("account.created", role=role)
            except EmailTaken:
                log.info("account.exists", role=role)  # another process was faster
        elif not self._passwords.fits(found[1], password):
            self._set_password(found[0].id, password)
            log.info("account.password_changed", role=role)

    def announce_all(self) -> int:
        """Write every customer into the outbox again; how many. Harmless: readers keep the highest revision."""
        query = sa.select(*_columns).where(customers.c.role == "customer").order_by(customers.c.created_ms)
        with self._engine.begin() as connection:
            found = [_customer(row) for row in connection.execute(query)]
            outbox.add(connection, *map(news.registered, found))
        return len(found)

    def _find(self, email: str) -> tuple[Customer, str] | None:
        query = sa.select(*_columns, customers.c.password_hash).where(customers.c.email == email)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return (_customer(row), str(row.password_hash)) if row else None

    def _set_password(self, customer_id: str, password: str) -> None:
        secret = self._passwords.hash(check_password(password))
        with self._engine.begin() as connection:
            connection.execute(sa.update(customers).where(customers.c.id == customer_id).values(password_hash=secret))


def _customer(row: Any) -> Customer:
    return Customer(**{name: getattr(row, name) for name in Customer.__struct_fields__})
