"""The two Redis servers: saved as RDB by BGSAVE, restored as the base of an append-only file.

With `appendonly yes` Redis ignores a dump.rdb that lies alone, and starts empty. So the dump becomes the base file of a
new append-only folder, which may be in RDB format, and the manifest beside it names it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.backup.aside import Files
from deploy.backup.site import Site
from deploy.local.errors import StackError
from deploy.local.waiting import until
from deploy.walls import ADMIN
from sagashop import keys

CLI = f'redis-cli -e --user {ADMIN} --no-auth-warning -p "$REDIS_PORT"'
COPY = f'cat -- "$({CLI} CONFIG GET dir | tail -n 1)/$({CLI} CONFIG GET dbfilename | tail -n 1)"'
LOAD = """
mkdir -m 700 appendonlydir
cat > appendonlydir/appendonly.aof.1.base.rdb
echo 'file appendonly.aof.1.base.rdb seq 1 type b' > appendonlydir/appendonly.aof.manifest
"""
SAVE_WITHIN_S = 600
HOLD = "backup"


class RedisStore:
    """One Redis server, as `admin`."""

    def __init__(self, site: Site, name: str) -> None:
        self.name, self.file = name, f"{name}.rdb"
        self._site = site
        files = Files(site, name, "appendonlydir dump.rdb")
        self.set_aside, self.put_back, self.forget = files.set_aside, files.put_back, files.forget

    def save(self, to: Path) -> None:
        """Have Redis write its data as they are now beside its append-only file, and copy that.

        Raises: StackError when Redis cannot, with the reason it logs.
        """
        before = self._begin()
        until(lambda: self._saves() > before, within_s=SAVE_WITHIN_S, what=f"{self.name} to write its data")
        with to.open("wb") as file:
            self._site.run(self.name, COPY, stdout=file)
        _check(to)

    def load(self, file: Path) -> None:
        with file.open("rb") as data:
            self._site.run(self.name, LOAD, stdin=data)

    def version(self) -> str:
        """Of the running server, for example `7.0.15`."""
        return self._info("server")["redis_version"]

    def program_version(self) -> str:
        """Of the program that would be started; the server need not run."""
        return self._site.run(self.name, "redis-server --version").partition(" v=")[2].split()[0]

    def ask(self, *words: str) -> str:
        """One command. Raises: StackError with the error that Redis answers."""
        return self._site.run(self.name, f'{CLI} "$@"', words)

    def _begin(self) -> int:
        """Begin a save; how many had ended before it. One that has begun before must end first: it is too old."""
        deadline = time.monotonic() + SAVE_WITHIN_S
        while True:
            before = self._saves()
            try:
                self.ask("BGSAVE", "SCHEDULE")  # while the append-only file is rewritten it waits for the end of that
                return before
            except StackError as busy:
                if "already in progress" not in str(busy) or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def _saves(self) -> int:
        """How many saves have ended well since the server started. Raises: StackError when the last one failed."""
        info = self._info("persistence")
        if info["rdb_last_bgsave_status"] != "ok":
            raise StackError(f"{self.name} could not write its data: see `make logs s={self.name}`. Is the disk full?")
        return int(info["rdb_saves"])

    def _info(self, section: str) -> dict[str, str]:
        lines = self.ask("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def _check(dump: Path) -> None:
    """Raises: StackError when this is no RDB file; whether it is whole Redis tells by its checksum when it loads it."""
    with dump.open("rb") as file:
        if file.read(5) != b"REDIS":
            raise StackError(f"{dump.name} is not what Redis writes. See `make logs`, then try again.")


@contextmanager
def nothing_trimmed(ledger: RedisStore, services: tuple[str, ...]) -> Iterator[None]:
    """While the block runs, no entry leaves the event streams of these services.

    A group that has read nothing holds the trimming (trim.lua). It is in a dump made meanwhile, too, so that a restored
    ledger keeps what the journals have yet to read, until `let_trim`.
    """
    for service in services:
        try:
            ledger.ask("XGROUP", "CREATE", keys.stream(f"{service}.events"), HOLD, "0", "MKSTREAM")
        except StackError as error:
            if "BUSYGROUP" not in str(error):  # a backup that was killed has left it
                raise
    try:
        yield
    finally:
        let_trim(ledger, services)


def let_trim(ledger: RedisStore, services: tuple[str, ...]) -> None:
    """Take the hold away."""
    for service in services:
        ledger.ask("XGROUP", "DESTROY", keys.stream(f"{service}.events"), HOLD)
