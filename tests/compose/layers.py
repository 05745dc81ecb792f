"""What an image holds, layer by layer: a file that a later layer takes away is still in it."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from typing import IO

from deploy.compose import docker


def added_files(image: str, base: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file that the layers of an image add to those of its base."""
    already = len(json.loads(docker.run("inspect", base))[0]["RootFS"]["Layers"])
    with tempfile.TemporaryFile() as saved:
        subprocess.run(["docker", "save", image], stdout=saved, check=True, timeout=120)
        saved.seek(0)
        with tarfile.open(fileobj=saved) as archive:
            manifest = json.load(_opened(archive, "manifest.json"))[0]
            for name in manifest["Layers"][already:]:
                yield from _files(_opened(archive, name))


def _files(layer: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=layer) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, _opened(archive, member).read()


def _opened(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    assert file is not None
    return file
