"""The databases of the services on MySQL and a user for each, as `deploy/databases.py` has them."""

from __future__ import annotations

from collections.abc import Mapping

import pymysql

from deploy import databases
from deploy.local.errors import StackError
from deploy.setup.files import fits_into_an_address


def make(env: Mapping[str, str]) -> None:
    """Make what is missing and set every password to that of the settings, with one connection as root.

    Raises: StackError when MySQL refuses, or when a password has a character that it may not have here. The text holds
        no password.
    """
    for service in databases.SERVICES:
        variable = databases.password_variable(service)
        fits_into_an_address(variable, env[variable])
    try:
        with (
            pymysql.connect(
                host="mysql", user="root", password=env["MYSQL_ROOT_PASSWORD"], connect_timeout=5
            ) as server,
            server.cursor() as cursor,
        ):
            for statement in databases.statements(env):
                cursor.execute(statement)
    except pymysql.MySQLError as why:
        raise StackError(
            f"MySQL does not make the databases: {why}.\n"
            "  MYSQL_ROOT_PASSWORD counts at the first start of MySQL only; put the one of that day into .env."
        ) from why
