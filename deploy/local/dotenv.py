"""`.env`: made once from `.env.example` with secrets of its own, later only added to."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.errors import StackError
from sagashop.dotenv import parse

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / ".env.example"


def secret() -> str:
    return secrets.token_urlsafe(24)


def password() -> str:
    """A password that can be read aloud, such as `tako-beri-sumo`: 39 bits, for the demo log-ins."""

    def syllable() -> str:
        return secrets.choice("bdfghjklmnprstvz") + secrets.choice("aeiou")

    return "-".join(syllable() + syllable() for _ in range(3))


GENERATED: dict[str, Callable[[], str]] = {"<secret>": secret, "<password>": password}


def ensure(path: Path, example: Path = EXAMPLE) -> dict[str, str]:
    """Make `path` from the example, or add what it lacks; never change a value that stands there. Returns all values.

    The file is for its owner only (mode 600).

    Raises: StackError when it cannot be written.
    """
    text = example.read_text()
    try:
        if path.exists():
            text = _with_missing(path.read_text(), text)
        write_private(path, _filled(text))
    except OSError as error:
        raise StackError(
            f"cannot write {path}: {error.strerror}. Set SAGASHOP_ENV to a path that can be written."
        ) from error
    return parse(path.read_text())


def change(path: Path, name: str, value: str) -> None:
    """Write another value for a setting; every other line stays as it is."""
    lines = path.read_text().splitlines()
    places = [n for n, line in enumerate(lines) if name in parse(line)]
    for place in places:
        lines[place] = f"{name}={value}"
    write_private(path, "\n".join(lines if places else [*lines, f"{name}={value}"]) + "\n")


def _with_missing(mine: str, example: str) -> str:
    have = parse(mine)
    missing = [line for line in example.splitlines() if parse(line).keys() - have.keys()]
    return mine if not missing else mine.rstrip("\n") + "\n\n# Added by make up:\n" + "\n".join(missing) + "\n"


def _filled(text: str) -> str:
    def fill(line: str) -> str:
        name, equals, value = line.partition("=")
        make = GENERATED.get(value) if not line.startswith("#") else None
        return f"{name}{equals}{make()}" if make else line

    return "\n".join(map(fill, text.splitlines())) + "\n"


def write_private(path: Path, text: str) -> bool:
    """Write a file that only its owner may read, whole or not at all; whether it changed. Else it is left alone."""
    if path.exists() and path.read_text() == text:
        path.chmod(0o600)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
    return True


def settings(path: Path, overrides: Mapping[str, str]) -> dict[str, str]:
    """The values of `.env`, where `overrides` (the shell) has one of the same name: that one."""
    values = ensure(path)
    return values | {name: value for name, value in overrides.items() if name in values}
