"""Every process of the stack, as data: what runs, where it listens, what it is told, how to ask whether it is ready.

Everything else (rendering, starting, the check of the ports, `make ps`) reads this table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Probe = Literal["/readyz", "/health", "redis", "amqp", "tcp"]
Env = Mapping[str, str]

MAX_ORDERS_REPLICAS = 7
MAIL_HTTP, MAIL_SMTP = 5, 6
"""The mail catcher listens on these above PORT_BASE: the mails it has, and the e-mail that comes in."""
CARRIER = 7
"""The carrier's stand-in listens on this above PORT_BASE."""


@dataclass(frozen=True)
class Process:
    """One process.

    port:    where it listens; further ports that it needs are in `more_ports`
    movable: the setting that moves the port, named when the port is taken
    probe:   a path asked with HTTP GET, or the first words of a protocol
    service: the service it belongs to; None for the servers
    env:     what only this process is told, beside the settings of the stack
    nice:    how far it gives way to others when the processors are busy: 0 to 19, or IDLE
    """

    name: str
    port: int
    command: tuple[str, ...]
    probe: Probe = "/readyz"
    service: str | None = None
    movable: str = "PORT_BASE"
    more_ports: tuple[int, ...] = ()
    env: Env = field(default_factory=dict)
    stop_signal: str = "TERM"
    nice: int = 0

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, *self.more_ports)


def web(service: str, port: int, *, part: str = "web", app: str = "app", kind: tuple[str, ...] = ()) -> Process:
    """A gunicorn of its own: `services.<service>.<app>:create()`."""
    gunicorn = (sys.executable, "-m", "gunicorn", "-c", "sagashop/web/gunicorn_conf.py", *kind, "--no-control-socket")
    return Process(
        name=f"{service}-{part}",
        service=service,
        port=port,
        command=(*gunicorn, f"services.{service}.{app}:create()"),
        env={"PORT": str(port)},
    )


STREAMING = ("-k", "gevent", "--keep-alive", "0")
"""For connections that stay open: event streams, WebSockets."""

SOON, LATER, IDLE = 3, 15, 20
"""How far a background process gives way. Orders wait for those of SOON. IDLE ones run while no other process of the
stack wants the processor (SCHED_IDLE): `nice` alone lets a process that has begun go on for milliseconds while others
wait. Who must not be IDLE: whoever holds a lock that web processes wait for, and whoever is called, or calls, with a
timeout of seconds, since under full load an idle process stands nearly still."""


def background(service: str, part: str, port: int, *, nice: int = SOON) -> Process:
    """A worker or projector: `services.<service>.<part>`, with a port for its health alone and a name that stays.

    Read models and reactions may lag a little behind: they take few large batches, and orders go first.
    """
    gathers = {"LINGER_MS": "40", "BATCH_SIZE": "500"} if nice >= LATER else {}
    return Process(
        name=f"{service}-{part}",
        service=service,
        port=port,
        command=(sys.executable, "-m", f"services.{service}.{part}"),
        env={"HEALTH_PORT": str(port), "WORKER_NAME": f"{service}-{part}-1"} | gathers,
        nice=nice,
    )


def table(env: Env) -> list[Process]:
    """All processes of a stack with these settings, in the order they are started."""
    base = int(env["PORT_BASE"])
    return [*_servers(env, base), *_services(env, base)]


def _servers(env: Env, base: int) -> list[Process]:
    tls = env["TLS"] == "on"
    return [
        Process("redis-ledger", base + 0, ("redis-server", "{home}/redis-ledger/redis.conf"), "redis"),
        Process("redis-session", base + 1, ("redis-server", "{home}/redis-session/redis.conf"), "redis"),
        Process("epmd", base + 4, ("epmd", "-address", "127.0.0.1", "-port", str(base + 4)), "tcp"),
        Process(
            "mail",
            base + MAIL_HTTP,
            (
                *(sys.executable, "-m", "services.notifications.catcher"),
                *("--http-port", str(base + MAIL_HTTP), "--smtp-port", str(base + MAIL_SMTP)),
            ),
            more_ports=(base + MAIL_SMTP,),
            nice=IDLE,
        ),
        Process(
            "carrier",
            base + CARRIER,
            (
                *(sys.executable, "-m", "services.fulfillment.carrier_stand_in"),
                *("--port", str(base + CARRIER), "--file", "{home}/data/carrier.db"),
                *("--delay-s", env["CARRIER_DELAY_S"], "--failure-rate", env["CARRIER_FAILURE_RATE"]),
            ),
            nice=LATER,
        ),
        Process("rabbitmq", base + 2, ("rabbitmq-server",), "amqp", more_ports=(base + 3,)),
        Process(
            "nginx",
            int(env["FRONT_PORT"]),
            ("nginx", "-e", "stderr", "-p", "{home}/nginx/", "-c", "{home}/nginx/nginx.conf"),
            "/health",
            movable="FRONT_PORT",
            more_ports=(int(env["FRONT_TLS_PORT"]),) if tls else (),
            stop_signal="QUIT",
        ),
    ]


def _services(env: Env, base: int) -> list[Process]:
    replicas = range(1, int(env["ORDERS_REPLICAS"]) + 1)
    return [
        web("storefront", base + 10),
        background("storefront", "worker", base + 11, nice=LATER),
        background("orders", "worker", base + 20),
        background("orders", "projector", base + 21, nice=IDLE),
        background("orders", "tasks", base + 19, nice=LATER),
        web("orders", base + 22, part="live", app="live", kind=STREAMING),
        *(web("orders", base + 22 + n, part=f"web-{n}") for n in replicas),
        web("payments", base + 30),
        background("payments", "worker", base + 31),
        background("payments", "projector", base + 32, nice=IDLE),
        web("fulfillment", base + 40),
        background("fulfillment", "worker", base + 41),
        background("fulfillment", "projector", base + 42, nice=IDLE),
        background("fulfillment", "carrier", base + 43, nice=LATER),
        web("notifications", base + 50),
        background("notifications", "worker", base + 51, nice=IDLE),
        background("notifications", "mailer", base + 52, nice=IDLE),
        web("notifications", base + 53, part="live", app="live", kind=(*STREAMING, "--worker-connections", "2100")),
        web("analytics", base + 60),
        background("analytics", "worker", base + 61, nice=IDLE),
        web("chat", base + 70),
    ]


def upstream_of(process: Process) -> str | None:
    """The name under which nginx knows a web process, and `None` for what it does not talk to.

    The replicas of orders share one; event streams and phones have processes and upstreams of their own.
    """
    if process.service is None or "PORT" not in process.env:
        return None
    return f"{process.service}_live" if process.name.endswith("-live") else process.service
