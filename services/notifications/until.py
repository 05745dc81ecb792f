"""Changing what was just read: read, decide, commit under guards, and again where somebody else was faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sagashop import log as logs
from sagashop.bus import Bus, GuardFailed
from sagashop.effects import Effects, Rows
from sagashop.errors import Unavailable
from services.notifications.store import SERVICE

ROUNDS = 20
T = TypeVar("T")


def until_it_holds(bus: Bus, decide: Callable[[], tuple[Effects, T]]) -> T:
    """Commit what is decided, and give what it stands for.

    Raises:
        Unavailable: memory is nearly full, redis-ledger does not answer, or others were faster every time
    """
    for _ in range(ROUNDS):
        effects, result = decide()
        try:
            bus.admit(SERVICE, effects, logs.current("trace"))
        except GuardFailed:
            continue
        return result
    raise Unavailable("too much else changed at the same time")


def load(bus: Bus, keys: list[str]) -> list[dict[str, str]]:
    """Hashes in the order of their keys. Raises: Unavailable, where redis-ledger does not answer."""
    rows: Rows = bus.load(keys)
    return [rows[key] for key in keys]
