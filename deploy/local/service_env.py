"""What a service's process is told through its environment."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from deploy import databases
from deploy.local.layout import Layout
from deploy.local.processes import CARRIER, MAIL_HTTP, MAIL_SMTP, Process
from deploy.local.servers import rabbitmq_url, redis_url
from deploy.walls import ADMIN, SERVERS, WALLS, password_variable, servers_of
from deploy.walls_rabbit import PARTS
from deploy.walls_rabbit import password_variable as rabbitmq_password_variable

SERVER_SECRETS = (
    *("REDIS_LEDGER_PASSWORD", "REDIS_SESSION_PASSWORD", "RABBITMQ_USER", "RABBITMQ_PASSWORD"),
    "MYSQL_ROOT_PASSWORD",
    *map(password_variable, WALLS),
    *map(databases.password_variable, databases.SERVICES),
    *map(rabbitmq_password_variable, PARTS),
)
LOGINS = ("DEMO_EMAIL", "DEMO_PASSWORD", "OPERATOR_EMAIL", "OPERATOR_PASSWORD")  # storefront makes these accounts
MAIL = ("SMTP_URL", "MAIL_FROM", "MAIL_SECRET")  # notifications sends e-mail; the URL may hold a password
MALLOC = {"MALLOC_ARENA_MAX": "2"}
"""glibc has an arena for each busy thread, and each would keep the 19 MB of a password's hash."""
# Of the deployment alone. Not told, so that a change of one (a third replica) restarts nobody who need not know.
DEPLOYMENT = (
    *("MODE", "FRONT_PORT", "FRONT_TLS_PORT", "PORT_BASE", "TLS", "ORDERS_REPLICAS", "DATABASE_URL"),
    *("CARRIER_DELAY_S", "CARRIER_FAILURE_RATE"),
    *("RATE_GENERAL", "RATE_LOGIN", "RATE_SIGNUP", "REDIS_LEDGER_MAXMEMORY", "REDIS_SESSION_MAXMEMORY"),
    "RABBITMQ_MEMORY",
    *("PYTHON_IMAGE", "REDIS_IMAGE", "RABBITMQ_IMAGE", "MYSQL_IMAGE", "NGINX_IMAGE", "ADMINER_IMAGE", "NODE_IMAGE"),
    "COMPOSE_PROFILES",
)


def service_env(layout: Layout, env: Mapping[str, str], process: Process) -> dict[str, str]:
    """The settings of the stack without those that are no business of this service, the addresses, and its own port."""
    hidden = {*SERVER_SECRETS, *DEPLOYMENT, *MAIL, *(LOGINS if process.service != "storefront" else ())}
    shown = {name: value for name, value in env.items() if name not in hidden}
    service = str(process.service)
    out = outside(env).get(service, {})
    own = {"DATABASE_URL": _database_url(layout, env, service), **process.env}
    servers = {f"REDIS_{name}_URL": redis_url(env, name, service) for name in servers_of(service)}
    if service in PARTS:
        servers["RABBITMQ_URL"] = rabbitmq_url(env, service)
    return shown | _shared(env) | servers | out | own


def outside(env: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Who is told of what lies outside the shop."""
    carrier = {"CARRIER_URL": f"http://127.0.0.1:{int(env['PORT_BASE']) + CARRIER}"}
    return {"notifications": mail(env), "fulfillment": carrier}


def mail(env: Mapping[str, str]) -> dict[str, str]:
    """Where e-mail goes: to the stack's own catcher, which shows it, unless SMTP_URL names a server."""
    base = int(env["PORT_BASE"])
    catcher = {
        "SMTP_URL": f"smtp://127.0.0.1:{base + MAIL_SMTP}",
        "MAIL_CATCHER_URL": f"http://127.0.0.1:{base + MAIL_HTTP}",
    }
    always = {name: env[name] for name in ("MAIL_FROM", "MAIL_SECRET")}
    return {**always, **({"SMTP_URL": env["SMTP_URL"]} if env["SMTP_URL"] else catcher)}


def addresses(env: Mapping[str, str]) -> dict[str, str]:
    """Where everything answers, for tests and tools: they come as admin, which no service does."""
    redis = {f"REDIS_{name}_URL": redis_url(env, name, ADMIN) for name in SERVERS}
    return _shared(env) | redis | {"RABBITMQ_URL": rabbitmq_url(env)}


def _shared(env: Mapping[str, str]) -> dict[str, str]:
    return {
        "BIND_HOST": "127.0.0.1",
        "PUBLIC_URL": public_url(env),
        "COOKIE_SECURE": "true" if env["TLS"] == "on" else "false",
        "PYTHONUNBUFFERED": "1",
        **MALLOC,
    }


def public_url(env: Mapping[str, str]) -> str:
    if env["TLS"] == "on":
        return f"https://127.0.0.1:{env['FRONT_TLS_PORT']}"
    return f"http://127.0.0.1:{env['FRONT_PORT']}"


def _database_url(layout: Layout, env: Mapping[str, str], service: str) -> str:
    """Each service has a database of its own: a file, or what `{service}` and `{password}` make of the setting."""
    template = env["DATABASE_URL"] or f"sqlite:///{layout.data}/{{service}}.db"
    password = quote(env.get(databases.password_variable(service), ""), safe="")
    return template.replace("{service}", service).replace("{password}", password)
