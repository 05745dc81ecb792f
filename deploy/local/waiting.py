"""Waiting with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.local.errors import StackError


def holds(condition: Callable[[], bool], *, within_s: float, every_s: float = 0.1) -> bool:
    """Does the condition come true within the time?"""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def until(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Raises: StackError when the condition has not come true in time."""
    if not holds(condition, within_s=within_s):
        raise StackError(f"waited {within_s:.0f} s for {what}, in vain.")
