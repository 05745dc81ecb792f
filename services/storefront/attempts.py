"""Guessing the password of one account, from wherever: ten attempts at once, then one a minute.

It slows a guesser down to where guessing is no use, and its owner never waits longer than a minute. Every attempt is
counted before its password is looked at, and answers are the same whether the account exists and the password is
right, so they tell nothing. Who logs in starts anew.
"""

from __future__ import annotations

import hashlib
import math

from redis import Redis

from sagashop.keys import own
from services.storefront.domain import TooManyAttempts

# One number tells all: the moment when the attempts so far are paid for, a pause each (a bucket that leaks, as GCRA).
# KEYS: the account's.  ARGV: pause_ms, attempts at once
_COUNT = """
local time = redis.call('TIME')
local now, pause_ms = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[1])
local paid = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local wait_ms = paid - now - (ARGV[2] - 1) * pause_ms
if wait_ms > 0 then return wait_ms end
redis.call('SET', KEYS[1], paid + pause_ms, 'PXAT', paid + pause_ms)
return 0
"""


class Attempts:
    """Counts by e-mail address. Redis errors pass through: without redis-session nobody logs in anyway.

    at_once: attempts before the pauses begin
    pause_s: from then on, seconds between two
    """

    def __init__(self, redis: Redis, at_once: int, pause_s: float) -> None:
        self._redis, self._at_once, self._pause_ms = redis, at_once, int(pause_s * 1000)
        self._count = redis.register_script(_COUNT)

    def count(self, email: str) -> None:
        """Count an attempt that is about to be made. Raises TooManyAttempts, which says how long to wait."""
        wait_ms: int = self._count(keys=[_key(email)], args=[self._pause_ms, self._at_once])
        if wait_ms:
            raise TooManyAttempts(headers={"Retry-After": str(math.ceil(wait_ms / 1000))})

    def forget(self, email: str) -> None:
        """Somebody knew the password."""
        self._redis.delete(_key(email))


def _key(email: str) -> str:
    """A hash: addresses are of any length, and none of Redis' business."""
    return own("storefront", "attempts", hashlib.sha256(email.strip().lower().encode()).hexdigest())
