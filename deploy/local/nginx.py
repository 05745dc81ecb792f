"""Nginx in local mode: a copy of `nginx/` below the home, beside what depends on this stack."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.local import servers, supervisor_client
from deploy.local.dotenv import REPO, write_private
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.processes import Process, upstream_of

Env = Mapping[str, str]
SOURCE = REPO / "nginx"
UPSTREAMS = (
    *("storefront", "orders", "orders_live", "payments", "fulfillment", "notifications", "notifications_live"),
    *("analytics", "chat"),
)


def write(layout: Layout, env: Env, processes: Sequence[Process]) -> bool:
    """Returns whether any file changed. The copy keeps a running stack safe from half-done edits."""
    folder = layout.home / "nginx"
    if env["TLS"] == "on":
        ensure_certificate(folder)
    wanted = {
        file.relative_to(SOURCE): file.read_text() for file in SOURCE.rglob("*") if file.suffix in {".conf", ".html"}
    }
    wanted |= {Path("rendered") / name: text for name, text in rendered(env, processes).items()}
    changed = [path for path, text in wanted.items() if _text(folder / path) != text]
    for path in changed:
        write_private(folder / path, wanted[path])
    return bool(changed)


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def rendered(env: Env, processes: Sequence[Process]) -> dict[str, str]:
    """The files that differ per mode and stack, by name."""
    tls = env["TLS"] == "on"
    return {
        # Everything runs as who typed `make up`. Of itself, Nginx gives the workers of a root master to a user who may
        # not be able to read web/.
        "main.conf": "user root;\n"
        if os.getuid() == 0
        else "# the master does not run as root, and so neither do the workers\n",
        "listen.conf": _listen_tls(env) if tls else f"listen 127.0.0.1:{env['FRONT_PORT']};\n",
        "redirect.conf": _redirect(env) if tls else "# TLS is off\n",
        "limits.conf": _limits(env),
        "static.conf": f'root "{REPO}/web";\n',
        "upstreams.conf": upstreams(processes),
    }


def _listen_tls(env: Env) -> str:
    return (
        f"listen 127.0.0.1:{env['FRONT_TLS_PORT']} ssl;\n"
        "ssl_certificate certificate.pem;\nssl_certificate_key key.pem;\n"
        "ssl_protocols TLSv1.2 TLSv1.3;\nssl_session_cache shared:tls:2m;\n"
    )


def _redirect(env: Env) -> str:
    return (
        f"server {{\n    listen 127.0.0.1:{env['FRONT_PORT']};\n    server_name _;\n"
        f"    return 308 https://$host:{env['FRONT_TLS_PORT']}$request_uri;\n}}\n"
    )


def _limits(env: Env) -> str:
    zones = [("general", "$binary_remote_addr"), ("login", "$login_client"), ("signup", "$login_client")]
    return "".join(f"limit_req_zone {key} zone={name}:5m rate={env[f'RATE_{name.upper()}']};\n" for name, key in zones)


def upstreams(processes: Sequence[Process]) -> str:
    """One group a service. A replica is never left out for having failed: on loopback a dead one refuses at once and
    the next is asked, while two that fail one after the other would leave nobody to ask.

    Idle connections are closed before gunicorn closes them, so that a POST never meets one that is just going away.
    """
    groups: dict[str, list[Process]] = defaultdict(list)
    for process in processes:
        if name := upstream_of(process):
            groups[name].append(process)
    return "\n".join(_upstream(name, groups[name]) for name in UPSTREAMS)


def _upstream(name: str, members: Sequence[Process]) -> str:
    ports = [process.port for process in members] or [1]  # nobody listens on port 1: such a service is down
    addresses = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in ports)
    return f"upstream {name} {{\n    zone {name} 64k;\n{addresses}    keepalive 32;\n    keepalive_timeout 30s;\n}}\n"


def ensure_certificate(folder: Path) -> None:
    """A self-signed certificate for localhost, made once; the key is for its owner only.

    Raises: StackError when openssl is missing or fails.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if certificate.exists() and key.exists():
        return
    openssl = shutil.which("openssl")
    if openssl is None:
        raise StackError("TLS=on needs openssl to make a certificate. Install it with `apt-get install openssl`.")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "825",
    ]
    files = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-addext", names]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise StackError(f"openssl could not make a certificate:\n{done.stderr}")
    key.chmod(0o600)


def check(layout: Layout, executable: str) -> str | None:
    """What Nginx finds wrong with its files, or None."""
    folder = layout.home / "nginx"
    command = [executable, "-e", "stderr", "-t", "-q", "-p", f"{folder}/", "-c", str(folder / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stderr if done.returncode else None


def reload(layout: Layout, supervisor: Any) -> None:
    """Let it take its new files without dropping a request. Raises: StackError when it finds them wrong."""
    if problem := check(layout, servers.executable("nginx")):
        raise StackError(f"Nginx does not take its new configuration and keeps the old one:\n{problem}")
    if supervisor_client.states(supervisor)["nginx"]["statename"] == "RUNNING":
        supervisor.signalProcess("nginx", "HUP")
