"""Configuration of the servers: two Redis, epmd, RabbitMQ. All listen on loopback, all files are below the home."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import redis

from deploy.config.rabbitmq import rabbitmq_conf
from deploy.config.redis import ACLFILE, redis_conf
from deploy.local import mend_aof
from deploy.local.dotenv import write_private
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.processes import Process
from deploy.walls import ADMIN, SERVERS, Server, aclfile, password_variable
from deploy.walls_rabbit import definitions
from deploy.walls_rabbit import password_variable as password_variable_rabbit

Env = Mapping[str, str]

# Debian's /usr/sbin/rabbitmq-server changes to its own user and data; the script behind it takes ours.
SEARCH = os.pathsep.join(["/usr/lib/rabbitmq/bin", os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def find(name: str) -> str | None:
    return shutil.which(name, path=SEARCH)


def executable(name: str) -> str:
    return find(name) or name


def check_installed(processes: Sequence[Process]) -> None:
    """Raises: StackError naming the programs that are not there."""
    missing = sorted({process.command[0] for process in processes if find(process.command[0]) is None})
    if missing:
        raise StackError(f"not installed: {', '.join(missing)}. `make servers` installs them, or says how.")


def write(layout: Layout, env: Env) -> set[Server]:
    """Returns the Redis servers whose users changed and nothing else: they can take them while they run."""
    changed: set[Server] = set()
    for name in SERVERS:
        folder = layout.home / f"redis-{name.lower()}"
        listen = f"bind 127.0.0.1\nport {int(env['PORT_BASE']) + SERVERS[name]}"
        conf = redis_conf(env, name, listen=listen, users=f"{folder}/{ACLFILE}", data=str(folder))
        restarts = write_private(folder / "redis.conf", conf)
        if write_private(folder / ACLFILE, aclfile(name, env)) and not restarts:
            changed.add(name)
    rabbit = layout.home / "rabbitmq"
    write_private(rabbit / "definitions.json", definitions(env))
    listener, loaded = f"127.0.0.1:{int(env['PORT_BASE']) + 2}", str(rabbit / "definitions.json")
    write_private(rabbit / "rabbitmq.conf", rabbitmq_conf(env, listener, loaded))
    write_private(rabbit / "advanced.config", "[].\n")
    write_private(rabbit / "enabled_plugins", "[].\n")
    cookie = rabbit / ".erlang.cookie"
    if not cookie.exists():
        write_private(cookie, secrets.token_hex(20))
    cookie.chmod(0o400)
    return changed


def reload_users(env: Env, name: Server) -> None:
    """Let a running server take its users from its file; one that does not run reads it when it starts.

    Redis 7.0 closes the connections of all users at this, and their next command opens new ones.

    Raises: StackError when it does not take them.
    """
    try:
        with redis.Redis.from_url(redis_url(env, name, ADMIN), socket_timeout=5) as client:
            client.execute_command("ACL LOAD")
    except redis.ResponseError as error:
        raise StackError(f"redis-{name.lower()} does not take its new users and keeps the old ones: {error}") from error
    except redis.ConnectionError:
        return


def redis_url(env: Env, name: Server, user: str) -> str:
    """Where a server answers, with the log-in of `admin` or of a service."""
    password = env[f"REDIS_{name}_PASSWORD" if user == ADMIN else password_variable(user)]
    return f"redis://{user}:{quote(password, safe='')}@127.0.0.1:{int(env['PORT_BASE']) + SERVERS[name]}/0"


def rabbitmq_url(env: Env, user: str = "") -> str:
    """Where RabbitMQ answers, with the log-in of its admin, or of a service."""
    name = user or env["RABBITMQ_USER"]
    password = env[password_variable_rabbit(user)] if user else env["RABBITMQ_PASSWORD"]
    return f"amqp://{quote(name, safe='')}:{quote(password, safe='')}@127.0.0.1:{int(env['PORT_BASE']) + 2}/%2F"


def environment(layout: Layout, env: Env, process: Process) -> dict[str, str]:
    return rabbitmq_env(layout, env) if process.name == "rabbitmq" else {}


def rabbitmq_env(layout: Layout, env: Env) -> dict[str, str]:
    """A node of its own: name, cookie, data, port mapper. `rabbitmqctl` with these variables reaches it."""
    base, folder = int(env["PORT_BASE"]), layout.home / "rabbitmq"
    return {
        "HOME": str(folder),  # Erlang looks for its cookie there
        "RABBITMQ_NODENAME": f"sagashop-{layout.tag}@localhost",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # not the distribution's
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "config"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        "RABBITMQ_DIST_PORT": str(base + 3),
        "ERL_EPMD_PORT": str(base + 4),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_AFLAGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        "RUNNING_UNDER_SYSTEMD": "true",  # its script then becomes Erlang instead of waiting for it: signals arrive
    }


def before(layout: Layout, process: Process) -> list[list[str]]:
    """What must succeed before a process is started."""
    if process.probe != "redis":
        return []
    manifest = layout.home / process.name / "appendonlydir" / "appendonly.aof.manifest"
    return [[sys.executable, "-I", "-S", mend_aof.__file__, executable("redis-check-aof"), str(manifest)]]


def config_files(layout: Layout, process: Process) -> list[Path]:
    """Files besides its specification that a process reads at start."""
    names = {"redis-ledger": "redis.conf", "redis-session": "redis.conf", "rabbitmq": "rabbitmq.conf"}
    return [layout.home / process.name / names[process.name]] if process.name in names else []
