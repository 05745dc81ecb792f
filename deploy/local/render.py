"""Writes the configuration of every process below the stack's home, from the settings and the table of processes.

Writing the same again changes nothing, so `make up` may always render. A process whose configuration changed has
another `SAGASHOP_CONFIG` in supervisor's file, which tells supervisor to restart it; Nginx is reloaded instead, and so
are the users of Redis.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local import launch, nginx, servers
from deploy.local.dotenv import REPO, write_private
from deploy.local.layout import Layout
from deploy.local.processes import Process
from deploy.local.service_env import service_env
from deploy.walls import Server

Env = Mapping[str, str]


class Changes(NamedTuple):
    """What running servers must be told, since they are not restarted for it."""

    nginx: bool
    users: Collection[Server]


def render(layout: Layout, env: Env, processes: Sequence[Process]) -> Changes:
    """Write everything."""
    layout.make()
    users = servers.write(layout, env)
    for process in processes:
        write_private(layout.spec(process.name), json.dumps(specification(layout, env, process), indent=1))
    write_private(layout.supervisor_conf, supervisor_conf(layout, processes))
    return Changes(nginx.write(layout, env, processes), users)


def specification(layout: Layout, env: Env, process: Process) -> dict[str, object]:
    """What `launch.py` needs to become this process."""
    command = [servers.executable(process.command[0]), *(part.format(home=layout.home) for part in process.command[1:])]
    rabbit = process.name == "rabbitmq"
    return {
        "command": command,
        "before": servers.before(layout, process),
        "nice": process.nice,
        "env": servers.environment(layout, env, process)
        if process.service is None
        else service_env(layout, env, process),
        "wait_for": int(env["PORT_BASE"]) + 4
        if rabbit
        else None,  # epmd: Erlang would start one of its own, and not ours
        "alone": "nginx" if process.name == "nginx" else None,
    }


def _fingerprint(layout: Layout, process: Process) -> str:
    files = [layout.spec(process.name), *servers.config_files(layout, process)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def supervisor_conf(layout: Layout, processes: Sequence[Process]) -> str:
    user = "user=root\n" if os.getuid() == 0 else ""  # says that root is meant; everything runs as who typed `make up`
    return (
        f"[supervisord]\nlogfile={_safe(layout.log('supervisord'))}\nlogfile_maxbytes=1MB\nlogfile_backups=1\n"
        f"pidfile={_safe(layout.pidfile)}\nchildlogdir={_safe(layout.home / 'log')}\numask=077\n{user}\n"
        f"[unix_http_server]\nfile={_safe(layout.socket)}\nchmod=0700\n\n"
        f"[supervisorctl]\nserverurl=unix://{_safe(layout.socket)}\n\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\n"
        + "\n".join(_program(layout, process) for process in processes)
    )


def _program(layout: Layout, process: Process) -> str:
    command = shlex.join([sys.executable, "-I", "-S", launch.__file__, str(layout.spec(process.name))])
    return (
        f"[program:{process.name}]\n"
        f"command={_safe(command)}\n"
        f"directory={_safe(REPO)}\n"
        f'environment=SAGASHOP_CONFIG="{_fingerprint(layout, process)}"\n'
        f"priority={1 if process.service is None else 2}\n"  # the servers first
        f"stopsignal={process.stop_signal}\n"
        "autorestart=true\nstartsecs=1\nstartretries=1000\nstopwaitsecs=20\nkillasgroup=true\n"
        f"redirect_stderr=true\nstdout_logfile={_safe(layout.log(process.name))}\n"
        "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=2\n"
    )


def _safe(value: str | Path) -> str:
    return str(value).replace("%", "%%")
