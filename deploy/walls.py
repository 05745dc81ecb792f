"""The walls on Redis (F33): which service may do what on which server. The ACL files of both run modes come from here.

Each service is a Redis user of its own name. It has its own keys (`{0}:<service>:…`, its streams among them), hears the
events of others, and tells others what to do; it can neither read what it tells nor write what it hears. Redis checks
every command, those inside scripts too, against the rules here, so they hold whatever a service's code does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sagashop import keys

Server = Literal["LEDGER", "SESSION"]
SERVERS: Mapping[Server, int] = {"LEDGER": 0, "SESSION": 1}
"""The two servers, and which port above PORT_BASE is theirs."""
Env = Mapping[str, str]
ADMIN = "admin"
"""May do everything on both servers: for `make up`, backups and tests, never for a service."""


@dataclass(frozen=True)
class Wall:
    """What is open to one service, beside its own keys.

    ledger:   it works on redis-ledger
    hears:    events of others: it reads them with a group of its own, and acknowledges
    tells:    commands to others: it appends them
    sessions: log-ins on redis-session: it keeps them (begins, changes, ends), looks them up, or does neither
    carts:    it has keys of its own on redis-session, too
    jobs:     it has a job queue on redis-ledger (sagashop.jobs), below `{0}:<service>:jobs:`
    tasks:    it has long work done (sagashop.tasks); leases are told by the clock of the server
    """

    ledger: bool = True
    hears: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    sessions: Literal["keeps", "looks up", "no"] = "looks up"
    carts: bool = False
    jobs: bool = False
    tasks: bool = False


WALLS: Mapping[str, Wall] = {
    "storefront": Wall(hears=("orders.events",), sessions="keeps", carts=True),
    "orders": Wall(
        hears=("storefront.events", "fulfillment.events", "payments.events"),
        tells=("fulfillment.commands", "payments.commands"),
        tasks=True,
    ),
    "payments": Wall(hears=("storefront.events",)),
    "fulfillment": Wall(hears=("storefront.events",)),
    "notifications": Wall(hears=("orders.events", "storefront.events"), jobs=True),
    "analytics": Wall(hears=("orders.events",)),
    "chat": Wall(ledger=False, sessions="no"),
}

# Commands by what they are for. A command of a newer Redis must not stand here: an older one would not start.
ROWS = "hget hgetall hmget hset hincrby expire persist del exists set get"
TIMERS = "zadd zrem zrange zcard zscore zremrangebyscore"
STREAMS = "xadd xread xrange xrevrange xlen xdel xtrim xgroup|setid xinfo|stream xinfo|consumers memory|usage"
GROUPS = "xgroup|create xreadgroup xpending xclaim xack xinfo|groups"
HEARING = f"{GROUPS} xrange"  # xrange: timers wait for replies that nobody has read yet (due.lua)
JOBS = "hdel rpush lpush lmove blmove rpop lrem lrange llen"  # beside those on rows and on timers
CARTS = "hget hgetall hmget hkeys hlen hset hsetnx hdel hincrby expire get set del"
KEEPING = "hget hgetall hset del rename pexpireat zadd zrem zremrangebyscore zrange"
LOOKING_UP = "hget hgetall pexpireat"  # a look-up prolongs a session, and changes nothing in it


def servers_of(service: str) -> list[Server]:
    """The servers on which a service has a user."""
    return ["LEDGER", "SESSION"] if WALLS[service].ledger else ["SESSION"]


def password_variable(service: str) -> str:
    """The setting with the password of a service, the same on both servers."""
    return f"REDIS_PASSWORD_{service.upper()}"


def aclfile(server: Server, env: Env) -> str:
    """The ACL file of a server: admin and the services, known by the SHA-256 of their passwords, and nobody else.

    The default user is off: nobody can be it. It keeps its rights, because Redis replays its append-only file in its
    name, and would leave out what scripts and transactions wrote with no more than a line in the log (redis#14541).
    """
    users = [_user(ADMIN, env[f"REDIS_{server}_PASSWORD"], ["~*", "&*", "+@all"])]
    users += [
        _user(service, env[password_variable(service)], rules(server, service))
        for service in WALLS
        if server in servers_of(service)
    ]
    return "\n".join(["user default off resetpass ~* &* +@all", *users]) + "\n"


def rules(server: Server, service: str) -> list[str]:
    """The ACL rules of a service. Each pair of parentheses allows its own commands on its own keys, on no others."""
    return list(_on_ledger(service) if server == "LEDGER" else _on_session(service))


def _on_ledger(service: str) -> Iterator[str]:
    wall, own = WALLS[service], [keys.own(service, "*")]
    heard, told = [*map(keys.stream, wall.hears)], [*map(keys.stream, wall.tells)]
    yield from _commands("ping info script|load")  # info: new work is refused when memory is nearly full (admit.lua)
    yield _on(own, f"{ROWS} {TIMERS} {STREAMS} {GROUPS}")
    if wall.jobs or wall.tasks:
        yield "+time"  # leases and pauses are told by the clock of the server
    if wall.jobs:
        yield _on([keys.jobs(service, "*")], JOBS)
    yield _on(own + heard, HEARING)  # one read waits for all of them
    if told:
        yield _on(told, "xadd")
    yield _on(own + heard + told, "evalsha")  # a script names all its keys; its commands are checked one by one


def _on_session(service: str) -> Iterator[str]:
    wall = WALLS[service]
    yield from _commands("ping script|load time")
    if wall.carts:
        yield _on([keys.own(service, "*")], f"{CARTS} evalsha")
    if wall.sessions == "keeps":
        yield _on([keys.own("sessions", "*")], f"{KEEPING} evalsha")
    elif wall.sessions == "looks up":
        yield _on([keys.own("sessions", "token", "*")], f"{LOOKING_UP} evalsha")


def _commands(names: str) -> list[str]:
    return [f"+{name}" for name in names.split()]


def _on(patterns: list[str], commands: str) -> str:
    return f"({' '.join([*(f'~{pattern}' for pattern in patterns), *_commands(commands)])})"


def _user(name: str, password: str, allowed: list[str]) -> str:
    return " ".join(["user", name, "on", f"#{fingerprint(password)}", *allowed])


def fingerprint(password: str) -> str:
    """How an ACL file knows a password."""
    return hashlib.sha256(password.encode()).hexdigest()
