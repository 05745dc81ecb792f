"""The walls in SQL (F33): which services have a database on MySQL or MariaDB, and what makes it and its user.

Each service is a user of its own name, with everything it needs in its own database, `sagashop_<service>`, and nothing
in any other. It may change tables there, since a service migrates its own database when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

Env = Mapping[str, str]

SERVICES = ("storefront", "orders", "payments", "fulfillment")
"""Those that keep something in SQL. The others have no user."""

ALLOWED = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES"


def database(service: str) -> str:
    return f"sagashop_{service}"


def password_variable(service: str) -> str:
    """The setting with the password of a service's user."""
    return f"MYSQL_PASSWORD_{service.upper()}"


def url(env: Env, service: str, server: str) -> str:
    """The DATABASE_URL of a service on this server, for example `mysql:3306`."""
    return f"mysql+pymysql://{service}:{quote(env[password_variable(service)], safe='')}@{server}/{database(service)}"


def statements(env: Env) -> list[str]:
    """What an administrator runs to have all databases and users as they should be; running it again changes nothing.

    It holds the passwords: hand it to the server through a pipe or a connection, not through a command line.
    """
    return [statement for service in SERVICES for statement in _of(service, env[password_variable(service)])]


def _of(service: str, password: str) -> Iterator[str]:
    name, user = database(service), f"'{service}'@'%'"
    in_grants = name.replace("_", r"\_")  # where an underscore by itself would stand for any character
    yield f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    yield f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY {_text(password)}"
    yield f"ALTER USER {user} IDENTIFIED BY {_text(password)}"
    yield f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {user}"
    yield f"GRANT {ALLOWED} ON `{in_grants}`.* TO {user}"


def _text(value: str) -> str:
    """As a literal of SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
