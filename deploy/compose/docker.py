"""Runs `docker` with an end to every call, and says in words what it could not do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from deploy.local.errors import StackError

TIMEOUT_S = 60.0
UNREACHABLE = ("no such host", "dial tcp", "i/o timeout", "connection refused", "TLS handshake", "manifest unknown",
               "pull access denied", "failed to resolve", "Client.Timeout")  # fmt: skip


def run(*arguments: str, timeout_s: float = TIMEOUT_S) -> str:
    """What it printed. Raises: StackError with its last words when it fails or takes longer."""
    return finish(["docker", *arguments], os.environ, timeout_s).stdout


def finish(
    command: Sequence[str], env: Mapping[str, str], timeout_s: float, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises: as `run`."""
    try:
        done = subprocess.run(
            command, env=env, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise StackError("docker is not installed. `make up MODE=local` needs none.") from None
    except subprocess.TimeoutExpired:
        raise StackError(f"`{_short(command)}` did not end within {timeout_s:.0f} s.") from None
    if done.returncode:
        raise StackError(f"`{_short(command)}` failed:\n{last_words(done.stderr or done.stdout)}{_hint(done.stderr)}")
    return done


def logs(container: str, *options: str) -> str:
    """What a container wrote, on both of its outputs."""
    done = finish(["docker", "logs", *options, container], os.environ, TIMEOUT_S)
    return done.stdout + done.stderr


def last_words(text: str, lines: int = 8) -> str:
    """The end of a text, indented."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (it said nothing)"


def _hint(error: str) -> str:
    if not any(sign in error for sign in UNREACHABLE):
        return ""
    return (
        "\n  Is it an image that cannot be fetched? `make base-images` makes stand-ins from Debian packages without a"
        " registry,\n  and `make up MODE=local` needs no Docker at all."
    )


def _short(command: Sequence[str]) -> str:
    """Without paths and the options that are the same in every call."""
    words = iter(command)
    return " ".join(word for word in words if not (word in {"--project-directory", "--env-file"} and next(words)))
