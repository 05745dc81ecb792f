"""The files of Nginx that differ per stack (`rendered/`). All others are those of `nginx/`, the same everywhere."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deploy.local.errors import StackError

Env = Mapping[str, str]
UPSTREAMS = (
    *("storefront", "orders", "orders_live", "payments", "fulfillment", "notifications", "notifications_live"),
    *("analytics", "chat"),
)


class Place(NamedTuple):
    """Where this Nginx listens, and where the pages lie."""

    plain: str
    tls: str
    web: str


def rendered(env: Env, place: Place) -> dict[str, str]:
    """Text by file name: what both modes have. `main.conf`, `upstreams.conf`, `consoles.conf` are each mode's own."""
    tls = env["TLS"] == "on"
    return {
        "listen.conf": _listen_tls(place) if tls else f"listen {place.plain};\n",
        "redirect.conf": _redirect(env, place) if tls else "# TLS is off\n",
        "limits.conf": _limits(env),
        "static.conf": f'root "{place.web}";\n',
    }


def _listen_tls(place: Place) -> str:
    return (
        f"listen {place.tls} ssl;\n"
        "ssl_certificate certificate.pem;\nssl_certificate_key key.pem;\n"
        "ssl_protocols TLSv1.2 TLSv1.3;\nssl_session_cache shared:tls:2m;\n"
    )


def _redirect(env: Env, place: Place) -> str:
    return (
        f"server {{\n    listen {place.plain};\n    server_name _;\n"
        "    location = /health {\n        access_log off;\n        return 204;\n    }\n"
        f"    location / {{\n        return 308 https://$host:{env['FRONT_TLS_PORT']}$request_uri;\n    }}\n}}\n"
    )


def _limits(env: Env) -> str:
    zones = [("general", "$binary_remote_addr"), ("login", "$login_client"), ("signup", "$login_client")]
    return "".join(f"limit_req_zone {key} zone={name}:5m rate={env[f'RATE_{name.upper()}']};\n" for name, key in zones)


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
    request = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-addext", names]
    command = [*request, "-days", "825", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise StackError(f"openssl could not make a certificate:\n{done.stderr}")
    key.chmod(0o600)
