"""Mends the end of a Redis append-only file before Redis starts: `mend_aof.py REDIS-CHECK-AOF MANIFEST`.

A disk that failed may have lost the last bytes, and what a script wrote stands in the file as one transaction. Redis
7.0 cuts a torn record out of such a transaction and leaves the transaction open: it then starts well, and its next
start loses or mixes up what was written since. So the whole transaction is cut out here, as in memory, and the file as
it was is kept beside it. Nothing else is ever changed.

Status 1, so that Redis is not started: the file is damaged elsewhere than at its end, and a person must decide.
Standard library only: it runs isolated, as `launch.py` does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

WITHIN_S = 120
_sound_part = re.compile(r"^AOF analyzed: filename=(.+), size=\d+, ok_up_to=(\d+),", re.MULTILINE)
_incremental = re.compile(r'^file "?(\S+?)"? seq \d+ type i\b', re.MULTILINE)
_next_record = re.compile(rb"\r\n\*\d+\r\n\$\d+\r\n")


class CutShort(Exception):
    """The file ends where a record goes on."""


class Damaged(Exception):
    """Something else is wrong than a missing end."""


class Rest:
    """What follows the last whole record or transaction of a file."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def assert_cut_short(self) -> None:
        """Returns if this is a true beginning of one record or transaction; else raises Damaged.

        The words of redis-check-aof do not tell: at some cuts it says nothing, at others the same as of zeros.
        """
        try:
            if self._record() != b"MULTI":
                raise Damaged("a whole record")
            while self._record() not in {b"MULTI", b"EXEC"}:
                pass
        except CutShort:
            return
        raise Damaged("a transaction that was left open")

    def _record(self) -> bytes:
        parts = [self._string() for _ in range(self._number(b"*"))]
        return parts[0].upper() if parts else b""

    def _number(self, mark: bytes) -> int:
        line = re.compile(rb"\%b(\d{1,18})\r\n" % mark).match(self._data, self._at)
        if line:
            self._at = line.end()
            return int(line[1])
        if re.compile(rb"(\%b(\d{1,18}\r?)?)?" % mark).fullmatch(self._data, self._at):
            raise CutShort
        raise Damaged("what is no record")

    def _string(self) -> bytes:
        length = self._number(b"$")
        text = self._data[self._at : self._at + length + 2]
        if not b"\r\n".startswith(text[length:]) or (len(text) < length and _next_record.search(text)):
            raise Damaged("a wrong length")  # the second: it would swallow the records that follow
        if len(text) < length + 2:
            raise CutShort
        self._at += length + 2
        return text[:length]


def mend(check_aof: str, manifest: Path) -> str:
    """What was done, in one line; empty where the files are sound, or there are none yet.

    Raises: Damaged where they are damaged elsewhere than at the end; OSError or subprocess.SubprocessError where they
    could not be examined, or not be kept. Nothing is cut off before the copy is complete.
    """
    if not manifest.exists():
        return ""
    done = subprocess.run([check_aof, str(manifest)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=WITHIN_S, check=False)  # fmt: skip
    if done.returncode < 0:
        raise subprocess.SubprocessError(f"{check_aof} was killed by signal {-done.returncode}")
    if done.returncode == 0:
        return ""
    file, sound = _cut_file(manifest, done.stdout.decode(errors="replace"))
    kept = file.with_name(f"{file.name}.cut-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    lost = file.stat().st_size - sound
    _keep(file, kept)
    subprocess.run([check_aof, "--fix", str(manifest)], input=b"y\n", stdout=subprocess.DEVNULL,
                   timeout=WITHIN_S, check=False)  # fmt: skip
    if file.stat().st_size != sound:
        raise Damaged(f"{check_aof} --fix did not mend {file.name}; it was copied to {kept.name}")
    return f"{file.name} ended within a commit: the last {lost} bytes are cut off, the whole is kept as {kept.name}"


def _keep(file: Path, kept: Path) -> None:
    """A copy, whole or not at all: supervisor starts again and again, and the disk may be full."""
    try:
        shutil.copy2(file, kept)
    except OSError:
        kept.unlink(missing_ok=True)
        raise


def _cut_file(manifest: Path, said: str) -> tuple[Path, int]:
    """The file that ends too early, and how many bytes of it are sound. Raises: Damaged."""
    incremental, examined = _incremental.findall(manifest.read_text()), _sound_part.findall(said)
    if not incremental or not examined or examined[-1][0] != incremental[-1]:
        raise Damaged(" / ".join(said.splitlines()[-2:]))
    file, sound = manifest.parent / incremental[-1], int(examined[-1][1])
    with file.open("rb") as opened:
        opened.seek(sound)
        try:
            Rest(opened.read()).assert_cut_short()
        except Damaged as found:
            raise Damaged(f"{file.name} has {found} after byte {sound}") from None
    return file, sound


def main(check_aof: str, manifest: str) -> int:
    try:
        line = mend(check_aof, Path(manifest))
    except Damaged as found:
        print(f"mend_aof: damaged, and not just cut short: {found}. Nothing was cut, and Redis is not started: "
              "see docs/operations.md", flush=True)  # fmt: skip
        return 1
    except (OSError, subprocess.SubprocessError) as error:
        line = f"{manifest} could not be examined or mended, so Redis will judge: {error}"
    if line:
        print(f"mend_aof: {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
