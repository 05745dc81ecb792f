"""Certificates for tests, from a CA that the test makes with openssl."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """Signs certificates in a folder; `file` is its own, whom it makes trusted that reads it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self.file, self._key = folder, folder / "ca.pem", folder / "ca.key"
        _openssl("req", "-x509", *EC, "-keyout", self._key, "-out", self.file, "-days", "2", "-subj", "/CN=Test CA")

    def server(self, names: str = "IP:127.0.0.1", days: int = 1) -> ssl.SSLContext:
        """What a server needs to be reached as one of `names`, in openssl's words."""
        number = len(list(self._folder.glob("*.key")))
        made = {kind: self._folder / f"{number}.{kind}" for kind in ("key", "csr", "pem", "ext")}
        made["ext"].write_text(f"subjectAltName={names}\n")
        _openssl("req", "-new", *EC, "-keyout", made["key"], "-out", made["csr"], "-subj", "/CN=Test server")
        _openssl(
            *("x509", "-req", "-in", made["csr"], "-CA", self.file, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", str(days), "-extfile", made["ext"], "-out", made["pem"]),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made["pem"], made["key"])
        return context


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=30)
