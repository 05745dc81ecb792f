"""`python -m deploy.setup.bus left <bus> <seconds>`, `… move <bus>`: deploy/switching.py, from within the project."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from urllib.parse import quote

from deploy import switching
from deploy.switching import Servers
from deploy.walls import ADMIN


def servers(env: Mapping[str, str]) -> Servers:
    """Where they are for a container."""
    ledger, rabbitmq = (quote(env[name], safe="") for name in ("REDIS_LEDGER_PASSWORD", "RABBITMQ_PASSWORD"))
    return Servers(
        f"redis://{ADMIN}:{ledger}@redis-ledger:6379/0", f"amqp://{env['RABBITMQ_USER']}:{rabbitmq}@rabbitmq:5672/%2F"
    )


def main(what: str, bus: str, within_s: str = "0") -> None:
    """`left` prints what is still on its way on this bus, a line each."""
    if what == "left":
        print(*switching.wait_until_empty(servers(os.environ), bus, float(within_s)), sep="\n")
    else:
        switching.move(servers(os.environ), bus)


if __name__ == "__main__":
    main(*sys.argv[1:])
