"""A service's database on MySQL or MariaDB, through the programs that come with either."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.backup.site import Site
from deploy.local.errors import StackError

SERVER = "mysql"
LOGIN = '-h "$MYSQL_HOST" -P "$MYSQL_PORT" -u "$MYSQL_LOGIN" --default-character-set=utf8mb4'
# One transaction that sees one instant, and no locks: neither readers nor writers wait. The service's own rights do.
DUMP = f"""
dump=$(command -v mariadb-dump || command -v mysqldump)
"$dump" {LOGIN} --single-transaction --skip-lock-tables --skip-add-locks --no-tablespaces --hex-blob "$MYSQL_NAME"
"""
LOAD = f"""
client="$(command -v mariadb || command -v mysql)"
tables=$("$client" {LOGIN} -N "$MYSQL_NAME" -e 'SHOW TABLES' | sed 's/.*/`&`/' | paste -sd , -)
{{
  echo 'SET FOREIGN_KEY_CHECKS = 0;'
  [ -z "$tables" ] || echo "DROP TABLE $tables;"
  sed '1{{/enable the sandbox mode/d;}}'  # MariaDB's; the client of MySQL does not take it
}} | "$client" {LOGIN} "$MYSQL_NAME"
"""
END = b"-- Dump completed"


class MysqlStore:
    """login: MYSQL_HOST, MYSQL_PORT, MYSQL_LOGIN, MYSQL_PWD and MYSQL_NAME. The server runs, also while it is loaded.

    aside: where the tables are kept while others are in their place
    """

    def __init__(self, site: Site, service: str, login: Mapping[str, str], aside: Path) -> None:
        self.name, self.file = service, f"{service}.sql"
        self._site, self._login, self._aside = site, login, aside / f"{service}.sql"

    def save(self, to: Path) -> None:
        with to.open("wb") as file:
            self._site.run(SERVER, DUMP, variables=self._login, stdout=file)
        with to.open("rb") as file:
            file.seek(max(0, to.stat().st_size - 200))
            if END not in file.read():
                raise StackError(f"the dump of {self.name} broke off. See why in the log of the database server.")

    def set_aside(self) -> None:
        if not self._aside.exists():  # else an earlier restore was killed
            self._aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = self._aside.with_suffix(".part")
            self.save(part)
            part.rename(self._aside)

    def load(self, file: Path) -> None:
        with file.open("rb") as dump:
            self._site.run(SERVER, LOAD, variables=self._login, stdin=dump)

    def put_back(self) -> None:
        if self._aside.exists():
            self.load(self._aside)
            self.forget()

    def forget(self) -> None:
        self._aside.unlink(missing_ok=True)
