"""manifest.json: what a backup holds. It is written last, and a folder without it is no backup."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.local.dotenv import write_private
from deploy.local.errors import StackError

FORMAT = 1
NAME = "manifest.json"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file. store: whose data these are; size: bytes"""

    store: str
    file: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """format: a newer one is refused; begun_at: every order accepted before is in it (UTC); sql: sqlite or mysql"""

    format: int
    sagashop: str
    begun_at: str
    took_s: float
    redis: str
    sql: str
    parts: list[Part]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


class _Format(msgspec.Struct):
    format: int


def part(store: str, path: Path) -> Part:
    """A file that is complete."""
    return Part(store=store, file=path.name, size=path.stat().st_size, sha256=_sum(path))


def write(folder: Path, manifest: Manifest) -> None:
    write_private(folder / NAME, msgspec.json.format(msgspec.json.encode(manifest)).decode() + "\n")


def read(folder: Path) -> Manifest:
    """The manifest of a backup that is whole: every file is there, as long as it was, with the sum it had.

    Raises: StackError telling what is wrong; nothing was touched.
    """
    manifest = _parsed(folder)
    wrong = [text for each in manifest.parts if (text := _problem(folder, each))]
    if wrong:
        raise StackError(_broken(folder, wrong))
    return manifest


def _parsed(folder: Path) -> Manifest:
    try:
        text = (folder / NAME).read_bytes()
        made_as = msgspec.json.decode(text, type=_Format).format
        if made_as > FORMAT:
            raise StackError(
                f"{folder} is a backup in format {made_as}, made by a newer Sagashop; this one reads up to {FORMAT}. "
                "Restore it with the version that made it, or a newer one."
            )
        return msgspec.json.decode(text, type=Manifest)
    except OSError as error:
        raise StackError(
            f"{folder} is no backup, or one that was never finished: cannot read {NAME} ({error.strerror}). "
            "`make backup` made those in backups/."
        ) from error
    except msgspec.MsgspecError as error:
        raise StackError(_broken(folder, [f"{NAME}: {error}"])) from error


def _problem(folder: Path, each: Part) -> str:
    path = folder / each.file
    if Path(each.file).name != each.file:
        return f"{each.file!r} is not the name of a file in it"
    if not path.is_file():
        return f"{each.file} is missing"
    if path.stat().st_size != each.size:
        return f"{each.file} has {path.stat().st_size} bytes instead of {each.size}"
    return "" if _sum(path) == each.sha256 else f"{each.file} was changed: its SHA-256 is another"


def _broken(folder: Path, wrong: Sequence[str]) -> str:
    return f"the backup in {folder} is damaged, and nothing was touched:\n  " + "\n  ".join(wrong) + (
        "\n  Take another backup, or another copy of this one."
    )  # fmt: skip


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
