"""Passwords are kept as argon2id hashes, and a log-in costs the same time whether the customer exists or not."""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASH_MEMORY_KIB = 19 * 1024
"""OWASP's least for argon2id with two passes: eight web threads hashing at once need about 150 MB."""


class Passwords:
    """Hashes and checks. Thread-safe."""

    def __init__(self, memory_kib: int = HASH_MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=memory_kib, parallelism=1)
        self._nobodys = self._hasher.hash(secrets.token_hex())

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def fits(self, kept: str | None, password: str) -> bool:
        """Whether this is the password behind the hash. None, for somebody unknown, takes as long and never fits."""
        try:
            return self._hasher.verify(kept or self._nobodys, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False
