"""Is a process ready? Asked from outside, as its users would."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from deploy.local.processes import Process
from deploy.walls import ADMIN

TIMEOUT_S = 1.5


def _says(port: int, send: bytes, expect: bytes) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendall(send)
        said = b""
        while len(said) < len(expect) and (more := connection.recv(64)):
            said += more
        return said.startswith(expect)


def _redis(process: Process, env: Mapping[str, str]) -> bool:
    password = env[process.name.upper().replace("-", "_") + "_PASSWORD"]
    return _says(process.port, _command("AUTH", ADMIN, password) + _command("PING"), b"+OK\r\n+PONG")


def _command(*words: str) -> bytes:
    """In Redis' own form, which takes every character a password may have."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in map(str.encode, words))


def _amqp(process: Process, env: Mapping[str, str]) -> bool:
    return _says(process.port, b"AMQP\x00\x00\x09\x01", b"\x01")


def _tcp(process: Process, env: Mapping[str, str]) -> bool:
    return _connects(process.port)


def _connects(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S):
        return True


def _http(process: Process, env: Mapping[str, str]) -> bool:
    if process.name == "nginx" and env["TLS"] == "on":
        return all(map(_connects, process.ports))
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", process.probe)
        return connection.getresponse().status == 200
    finally:
        connection.close()


PROBES: Mapping[str, Callable[[Process, Mapping[str, str]], bool]] = {"redis": _redis, "amqp": _amqp, "tcp": _tcp}


def is_ready(process: Process, env: Mapping[str, str]) -> bool:
    """Takes at most about 3 s."""
    try:
        return PROBES.get(process.probe, _http)(process, env)
    except (OSError, http.client.HTTPException):
        return False


def which_are_ready(processes: Iterable[Process], env: Mapping[str, str]) -> set[str]:
    """The names of those that are ready, asked side by side."""
    asked = list(processes)
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = pool.map(lambda process: is_ready(process, env), asked)
        return {process.name for process, ready in zip(asked, answers, strict=True) if ready}
