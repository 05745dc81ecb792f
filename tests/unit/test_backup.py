"""Backups before anything is touched: what is refused, what is said, and what stands in a manifest."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.backup import manifest as manifests
from deploy.backup.aside import Files
from deploy.backup.local import LocalSite
from deploy.backup.manifest import FORMAT, NAME, Manifest
from deploy.backup.order import JOURNALS, SOURCES
from deploy.backup.restoring import examine
from deploy.local.dotenv import REPO
from deploy.local.errors import StackError
from deploy.local.processes import table
from deploy.local.stack import Stack

pytestmark = pytest.mark.feature("F21")


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return LocalSite(Stack(tmp_path / "home"))


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A whole backup with two files in it."""
    folder = tmp_path / "sagashop-20260101T000000Z"
    folder.mkdir()
    for name in ("orders.db", "redis-ledger.rdb"):
        (folder / name).write_bytes(name.encode() * 100)
    parts = [manifests.part(path.stem, path) for path in sorted(folder.iterdir())]
    manifests.write(folder, Manifest(
        format=FORMAT, sagashop="0.1.0", begun_at="2026-01-01T00:00:00+00:00", took_s=1.0, redis="7.0.15",
        sql="sqlite", parts=parts,
    ))  # fmt: skip
    return folder


def changed(backup: Path, **fields: Any) -> None:
    known = msgspec.json.decode((backup / NAME).read_bytes())
    (backup / NAME).write_bytes(msgspec.json.encode(known | fields))


def test_a_manifest_tells_again_what_was_written_and_is_for_its_owner_only(backup: Path, site: LocalSite) -> None:
    found = examine(site, backup)
    assert found.size == len("orders.db") * 100 + len("redis-ledger.rdb") * 100
    assert [part.store for part in found.parts] == ["orders", "redis-ledger"]
    assert stat.S_IMODE((backup / NAME).stat().st_mode) == 0o600


def cut(backup: Path) -> None:
    with (backup / "orders.db").open("r+b") as file:
        file.truncate(100)


def flipped(backup: Path) -> None:
    data = bytearray((backup / "orders.db").read_bytes())
    data[50] ^= 1
    (backup / "orders.db").write_bytes(data)


def outside(backup: Path) -> None:
    part = {"store": "orders", "file": "../orders.db", "size": 1, "sha256": ""}
    changed(backup, parts=[part])


DAMAGES: Sequence[tuple[Callable[[Path], object], str]] = [
    (cut, "orders.db has 100 bytes instead of 900"),
    (flipped, "orders.db was changed"),
    (lambda backup: (backup / "orders.db").unlink(), "orders.db is missing"),
    (outside, "'../orders.db' is not the name of a file in it"),
    (lambda backup: (backup / NAME).write_text('{"format": 1}'), "missing required field"),
    (lambda backup: (backup / NAME).write_text("{"), "is damaged"),
    (lambda backup: (backup / NAME).unlink(), "is no backup, or one that was never finished"),
    (lambda backup: changed(backup, format=FORMAT + 1), "made by a newer Sagashop"),
    (lambda backup: changed(backup, sql="mysql"), "was taken from mysql, and this stack keeps its databases in sqlite"),
    (lambda backup: changed(backup, redis="99.1.0"), "was written by Redis 99.1.0"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=[told for _, told in DAMAGES])
def test_what_is_broken_or_not_for_this_stack_is_refused(
    backup: Path, site: LocalSite, damage: Callable[[Path], object], told: str
) -> None:
    damage(backup)
    with pytest.raises(StackError, match=re.escape(told)):
        examine(site, backup)


def test_data_of_a_store_that_nobody_has_are_refused(backup: Path, site: LocalSite) -> None:
    known = msgspec.json.decode((backup / NAME).read_bytes())
    changed(backup, parts=[part | {"store": "billing"} for part in known["parts"]])
    with pytest.raises(StackError, match="data of billing, billing, which this version of Sagashop does not have"):
        examine(site, backup)


def test_the_journals_of_all_projectors_and_every_database_are_backed_up(site: LocalSite) -> None:
    projectors = {process.service for process in table(site.env) if process.name.endswith("-projector")}
    with_sql = {path.parts[-2] for path in (REPO / "services").glob("*/*.py") if "sql.engine(" in path.read_text()}
    assert projectors == set(JOURNALS)
    assert with_sql | projectors == {*JOURNALS, *SOURCES}


def test_what_a_killed_restore_had_set_aside_is_what_comes_back(tmp_path: Path, site: LocalSite) -> None:
    """Set aside, half loaded, killed; the next one sets aside again, fails, and puts back."""
    files = Files(site, "redis-ledger", "appendonlydir dump.rdb")
    folder = tmp_path / "home" / "redis-ledger"
    (folder / "appendonlydir").mkdir(parents=True)
    (folder / "appendonlydir" / "data").write_text("mine")
    (folder / "users.acl").write_text("stays")
    files.set_aside()
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["users.acl"]
    (folder / "appendonlydir").mkdir()
    (folder / "dump.rdb").write_text("half a backup")
    files.set_aside()
    assert not (folder / "dump.rdb").exists()
    files.put_back()
    files.put_back()
    assert sorted(path.name for path in folder.iterdir()) == ["appendonlydir", "users.acl"]
    assert (folder / "appendonlydir" / "data").read_text() == "mine"


def test_a_second_backup_at_the_same_time_is_refused(site: LocalSite) -> None:
    with site.alone(), pytest.raises(StackError, match="another backup or restore"), LocalSite(site.stack).alone():
        pass


def test_the_words_of_a_script_that_fails_are_told(site: LocalSite) -> None:
    with pytest.raises(StackError, match="redis-ledger did not do what it was asked: out of paper"):
        site.run("redis-ledger", "echo out of paper >&2; false; echo never")


def test_a_stack_that_does_not_run_is_not_backed_up(site: LocalSite) -> None:
    with pytest.raises(StackError, match="make up"):
        site.require_running()
