"""Settings that decide which processes there are and where, checked before anything is done."""

from __future__ import annotations

from deploy.local import ports
from deploy.local.errors import StackError
from deploy.local.processes import MAX_ORDERS_REPLICAS
from deploy.walls import WALLS, password_variable
from deploy.walls_rabbit import PARTS, limits
from deploy.walls_rabbit import password_variable as rabbitmq_password_variable
from sagashop.settings import BadSetting


def checked(env: dict[str, str]) -> dict[str, str]:
    """The settings that decide about processes, checked. Raises: StackError naming the setting."""
    highest = {"FRONT_PORT": 65535, "FRONT_TLS_PORT": 65535, "PORT_BASE": 65535 - ports.SPAN}
    for name, most in [*highest.items(), ("ORDERS_REPLICAS", MAX_ORDERS_REPLICAS)]:
        if not env[name].isdecimal() or not 1 <= int(env[name]) <= most:
            raise StackError(f"{name} is {env[name]!r}, and must be a number from 1 to {most}. Set it in .env.")
    if env["TLS"] not in {"on", "off"}:
        raise StackError(f"TLS is {env['TLS']!r}, and must be on or off. Set it in .env.")
    if env["BUS"] not in {"redis", "rabbitmq"}:
        raise StackError(f"BUS is {env['BUS']!r}, and must be redis or rabbitmq. Set it in .env.")
    passwords = [*map(password_variable, WALLS), *map(rabbitmq_password_variable, PARTS)]
    for name in ("REDIS_LEDGER_PASSWORD", "REDIS_SESSION_PASSWORD", "RABBITMQ_PASSWORD", *passwords):
        if not env[name]:
            raise StackError(f"{name} is empty. Take its line out of .env, and the next `make up` makes a new one.")
    try:
        limits(env)
    except BadSetting as wrong:
        raise StackError(f"{wrong} Set it in .env.") from wrong
    return env
