"""A service's database as an SQLite file."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from deploy.backup.aside import Files
from deploy.backup.site import Site
from deploy.local.errors import StackError

SERVER = "data"  # there is none: it is the folder of the files


class SqliteStore:
    """path: the file that the service has open"""

    def __init__(self, site: Site, service: str, path: Path) -> None:
        self.name, self.file, self._path = service, f"{service}.db", path
        files = Files(site, SERVER, f"{path.name} {path.name}-wal {path.name}-shm", service)
        self.set_aside, self.put_back, self.forget = files.set_aside, files.put_back, files.forget

    def save(self, to: Path) -> None:
        """All pages in one step, and so of one transaction. Nobody waits for it: readers and the writer go on."""
        try:
            with (
                closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as database,
                closing(sqlite3.connect(to)) as copy,
            ):
                database.backup(copy, pages=-1)
        except sqlite3.Error as error:
            raise StackError(f"cannot copy {self._path}: {error}.") from error

    def load(self, file: Path) -> None:
        shutil.copyfile(file, self._path)
        self._path.chmod(0o600)
