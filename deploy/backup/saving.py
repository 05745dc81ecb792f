"""Taking a backup while orders flow."""

from __future__ import annotations

import os
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from deploy.backup import manifest as manifests
from deploy.backup.manifest import FORMAT, Manifest, Part
from deploy.backup.order import JOURNALS, Stores
from deploy.backup.redis_store import nothing_trimmed
from deploy.backup.site import Site, Store
from deploy.local.dotenv import REPO
from deploy.local.errors import StackError

Say = Callable[[str], None]
PARTIAL = ".partial"


def save(site: Site, into: Path, say: Say) -> Path:
    """Make a backup: a new folder below `into`, for its owner only, with every order accepted before the call.

    It appears under its name when it is complete and on disk. Nobody waits for it.

    Raises: StackError; nothing is left behind then.
    """
    site.require_running()
    began, begun_at = time.monotonic(), datetime.now(UTC)
    with site.alone(), _folder(into, f"sagashop-{begun_at:%Y%m%dT%H%M%SZ}") as folder:
        stores, parts = Stores(site), list[Part]()

        def keep(store: Store) -> None:
            path = folder / store.file
            store.save(path)
            path.chmod(0o600)
            _to_disk(path)
            parts.append(manifests.part(store.name, path))
            say(f"  {store.name:<14}{parts[-1].size / 1000:>12,.0f} kB")

        with nothing_trimmed(stores.ledger, JOURNALS):
            for store in [*stores.journals, stores.session, stores.ledger]:
                keep(store)
        for store in [*stores.sources, stores.rabbit]:
            keep(store)
        manifests.write(folder, Manifest(
            format=FORMAT, sagashop=_version(), begun_at=begun_at.isoformat(timespec="milliseconds"),
            took_s=round(time.monotonic() - began, 3), redis=stores.ledger.version(), sql=site.sql, parts=parts,
        ))  # fmt: skip
    return into / f"sagashop-{begun_at:%Y%m%dT%H%M%SZ}"


@contextmanager
def _folder(into: Path, name: str) -> Iterator[Path]:
    """A folder that gets its name when the block has ended well, and is deleted when it has not."""
    final, partial = into / name, into / f".{name}{PARTIAL}"
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in into.glob(f".sagashop-*{PARTIAL}"):  # by one that was killed; we are alone
            shutil.rmtree(left)
        partial.mkdir(mode=0o700)
        yield partial
        _to_disk(partial / manifests.NAME)
        _to_disk(partial)
        partial.rename(final)
        _to_disk(into)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StackError(
            f"no backup was made, and nothing is left of it: {error.strerror or error} ({error.filename or into}). "
            "Make room, or choose another folder with `make backup TO=folder`."
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _version() -> str:
    version: str = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    return version
