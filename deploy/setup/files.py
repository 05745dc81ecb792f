"""Every configuration file of Compose, each server's into a volume of its own: it sees no other's.

The files may be read by everybody inside the volume, because each image has users of its own; the volume is the wall.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.config import nginx
from deploy.config.rabbitmq import rabbitmq_conf
from deploy.config.redis import ACLFILE, redis_conf
from deploy.local.checks import checked
from deploy.local.errors import StackError
from deploy.local.processes import table, upstream_of
from deploy.walls import ADMIN, SERVERS, WALLS, Server, aclfile, password_variable
from deploy.walls_rabbit import LIMITS, PARTS, definitions
from deploy.walls_rabbit import password_variable as rabbitmq_password_variable

Env = Mapping[str, str]
Files = Iterator[tuple[str, bytes]]

APP = Path(__file__).resolve().parents[2]
WEB_PORT = 8000
NEEDED = (
    *("TLS", "FRONT_PORT", "FRONT_TLS_PORT", "ORDERS_REPLICAS", "RATE_GENERAL", "RATE_LOGIN", "RATE_SIGNUP"),
    *("REDIS_LEDGER_MAXMEMORY", "REDIS_SESSION_MAXMEMORY", "REDIS_LEDGER_PASSWORD", "REDIS_SESSION_PASSWORD"),
    *("BUS", "RABBITMQ_USER", "RABBITMQ_PASSWORD", "RABBITMQ_MEMORY"),
    *map(password_variable, WALLS),
    *map(rabbitmq_password_variable, PARTS),
)


def write(config: Path, given: Env) -> None:
    """Write what differs from what is there, below `config/<server>`.

    Raises: StackError naming a setting that is missing or does not fit.
    """
    env = _settings(given)
    if env["TLS"] == "on":
        nginx.ensure_certificate(config / "nginx")
        (config / "nginx/key.pem").chmod(0o644)
    run = config / "nginx/run"  # where its tmpfs goes, with this mode: the volume itself is read-only to Nginx
    run.mkdir(exist_ok=True)
    run.chmod(0o1777)
    first = not (config / "nginx/version").exists()
    changed = [name for name, text in _all(env) if _put(config / name, text)]
    version = hashlib.sha256(b"".join(text for name, text in _all(env) if name.startswith("nginx/")))
    _put(config / "nginx/version", version.hexdigest().encode())  # last: at this, a running Nginx takes its new files
    _tell(changed, first=first)


def _tell(changed: list[str], *, first: bool) -> None:
    print(f"setup: {len(changed)} files changed", *(name for name in changed if "/web/" not in name), flush=True)
    at_start = {name.partition("/")[0] for name in changed if name.endswith(".conf")} - {"nginx"}
    if at_start and not first:
        print(f"setup: read at start only: `docker compose restart {' '.join(sorted(at_start))}`", flush=True)


def _settings(given: Env) -> Env:
    if missing := [name for name in NEEDED if not given.get(name)]:
        raise StackError(f"not set in .env: {', '.join(missing)}. `make up` adds what is missing there.")
    for name in NEEDED:
        if name.endswith("PASSWORD") or "_PASSWORD_" in name:
            fits_into_an_address(name, given[name])
    return checked(
        {name: given[name] for name in (*NEEDED, *LIMITS) if given.get(name)}
        | {"PORT_BASE": "1", "CARRIER_DELAY_S": "0", "CARRIER_FAILURE_RATE": "0"}
    )


def fits_into_an_address(name: str, password: str) -> None:
    """Compose puts passwords into addresses as they are. Raises: StackError when one would not survive that."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", password):
        raise StackError(
            f"{name} has a character that Compose cannot put into an address. "
            "Use letters, digits, and . _ ~ - in .env, or take the line out for a new one."
        )


def _all(env: Env) -> Files:
    for name in SERVERS:
        folder = f"redis-{name.lower()}"
        conf = redis_conf(env, name, listen="bind *\nport 6379", users=f"/config/{ACLFILE}", data="/data")
        yield f"{folder}/redis.conf", conf.encode()
        yield f"{folder}/{ACLFILE}", aclfile(name, env).encode()
    conf = rabbitmq_conf(env, "0.0.0.0:5672", "/etc/rabbitmq/conf.d/definitions.json")
    yield "rabbitmq/20-sagashop.conf", f"{conf}management.path_prefix = /consoles/rabbitmq\n".encode()
    yield "rabbitmq/definitions.json", definitions(env).encode()
    yield from _front_door(env)


def _front_door(env: Env) -> Files:
    for source, below in ((APP / "nginx", "nginx"), (APP / "web", "nginx/web")):
        for file in sorted(source.rglob("*")):
            if file.is_file():
                yield f"{below}/{file.relative_to(source)}", file.read_bytes()
    rendered = nginx.rendered(env, nginx.Place(plain="8080", tls="8443", web="/config/web")) | {
        "main.conf": "# the container's user is nginx from the start\n",
        "upstreams.conf": "include run/upstreams.conf;  # front-door.sh writes both\ninclude run/keepalive.conf;\n",
        "consoles.conf": (APP / "deploy/setup/consoles.conf").read_text(),
    }
    for name, text in rendered.items():
        yield f"nginx/rendered/{name}", text.encode()
    yield "nginx/front-door.sh", (APP / "deploy/setup/front-door.sh").read_bytes()
    yield "nginx/upstreams.list", upstreams_list(env).encode()


def upstreams_list(env: Env) -> str:
    """A line for each upstream of Nginx: its name, the Compose service behind it, the port."""
    services = {upstream_of(process): re.sub(r"-\d+$", "", process.name) for process in table(env)}
    return "".join(f"{name} {services[name]} {WEB_PORT}\n" for name in nginx.UPSTREAMS)


def _put(path: Path, text: bytes) -> bool:
    """Write a file whole or not at all; whether it changed."""
    if path.exists() and path.read_bytes() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(text)
    new.replace(path)
    return True


def tell_running_servers(env: Env) -> None:
    """Let the Redis servers that run take their users from the new file, before a service comes with a new password."""
    for name in SERVERS:
        _reload_users(env, name)


def _reload_users(env: Env, name: Server) -> None:
    host, password, once = f"redis-{name.lower()}", env[f"REDIS_{name}_PASSWORD"], Retry(NoBackoff(), 0)
    # Not there yet, or with another password of admin: Compose starts it, or recreates it for its new environment.
    with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        client = redis.Redis(host=host, username=ADMIN, password=password, socket_timeout=5, retry=once)
        try:
            client.acl_load()
        except redis.ResponseError as error:
            raise StackError(f"{host} does not take its new users and keeps the old ones: {error}") from error
        finally:
            client.close()
