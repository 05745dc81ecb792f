"""Sessions (F30): a hash each in redis-session, valid on every replica of every service.

A session slides: each lookup moves its end `ttl_s` seconds ahead, up to an absolute end `max_s` after log-in. The token
is 256 random bits and lives in the visitor's cookie only; Redis knows its SHA-256, so a copy of Redis logs nobody in.
Each operation is one script, one round trip, and safe to repeat. A look-up moves the key's expiry and nothing else, so
a service that may look sessions up (deploy/walls.py) can never make one, or change whose it is.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

import msgspec
import redis

from sagashop import keys

Role = Literal["customer", "operator"]


class Session(msgspec.Struct, frozen=True):
    """A session. Times in milliseconds since 1970, on Redis's clock; `ends_ms` is the absolute end.

    `last_active_ms` is the moment of this look-up. In Redis it is what the key's expiry says, less the time to live.
    """

    user_id: str
    name: str
    role: Role
    created_ms: int
    last_active_ms: int
    ends_ms: int


# KEYS: session, the user's sessions, the session it replaces.  ARGV: user_id, name, role, ttl_ms, max_ms, alone
_CREATE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + ARGV[5]
redis.call('DEL', KEYS[3])
if ARGV[6] == '1' then
    for _, session in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do redis.call('DEL', session) end
    redis.call('DEL', KEYS[2])
end
redis.call('HSET', KEYS[1], 'user_id', ARGV[1], 'name', ARGV[2], 'role', ARGV[3],
           'created_ms', now, 'ends_ms', ends)
redis.call('PEXPIREAT', KEYS[1], math.min(now + ARGV[4], ends))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREM', KEYS[2], KEYS[3])
redis.call('ZADD', KEYS[2], ends, KEYS[1])
redis.call('PEXPIREAT', KEYS[2], ends)
"""

# KEYS: session.  ARGV: ttl_ms
_GET = """
local ends = tonumber(redis.call('HGET', KEYS[1], 'ends_ms'))
if not ends then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('PEXPIREAT', KEYS[1], math.min(now + ARGV[1], ends))
local session = redis.call('HGETALL', KEYS[1])
if #session == 0 then return {} end   -- its end had come
table.insert(session, 'last_active_ms')
table.insert(session, tostring(now))
return session
"""

# KEYS: session, its new key.
_ROTATE = """
local ends = redis.call('HGET', KEYS[1], 'ends_ms')
if not ends then return 0 end
local all = ARGV[1] .. redis.call('HGET', KEYS[1], 'user_id')
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('ZADD', all, ends, KEYS[2])   -- first: an emptied set would lose its expiry
redis.call('ZREM', all, KEYS[1])
return 1
"""

# KEYS: session.  ARGV: the start of the key of a user's sessions
_LOGOUT = """
local user_id = redis.call('HGET', KEYS[1], 'user_id')
if user_id then redis.call('ZREM', ARGV[1] .. user_id, KEYS[1]) end
redis.call('DEL', KEYS[1])
"""

# KEYS: the user's sessions
_LOGOUT_EVERYWHERE = """
local ended = 0
for _, session in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do ended = ended + redis.call('DEL', session) end
redis.call('DEL', KEYS[1])
return ended
"""


class Sessions:
    """The session store. Every method raises redis.ConnectionError or redis.TimeoutError where redis-session is down.

    ttl_s: a session ends after so many seconds without a lookup
    max_s: and so many seconds after log-in in any case
    """

    def __init__(self, client: redis.Redis, ttl_s: int = 1_800, max_s: int = 43_200) -> None:
        self._ttl_ms, self._max_ms = ttl_s * 1000, max_s * 1000
        self._create = client.register_script(_CREATE)
        self._get = client.register_script(_GET)
        self._rotate = client.register_script(_ROTATE)
        self._logout = client.register_script(_LOGOUT)
        self._logout_everywhere = client.register_script(_LOGOUT_EVERYWHERE)

    def create(self, user_id: str, name: str, role: Role, *, replaces: str | None = None, alone: bool = False) -> str:
        """Start a session and return its token. In the same step the session of the token `replaces` ends, and, where
        it shall be `alone`, every other session of the user.
        """
        token = secrets.token_urlsafe(32)
        self._create(
            keys=[_key(token), _all_of(user_id), _key(replaces or "")],
            args=[user_id, name, role, self._ttl_ms, self._max_ms, int(alone)],
        )
        return token

    def get(self, token: str) -> Session | None:
        """The session of a token, kept alive by this lookup; None when there is none or it has ended."""
        flat: list[str] = self._get(keys=[_key(token)], args=[self._ttl_ms])
        if not flat:
            return None
        return msgspec.convert(dict(zip(flat[::2], flat[1::2], strict=True)), Session, strict=False)

    def rotate(self, token: str) -> str | None:
        """Give the session a new token, when its rights change; the old token ends. None when there is no session."""
        fresh = secrets.token_urlsafe(32)
        return fresh if self._rotate(keys=[_key(token), _key(fresh)], args=[_all_of("")]) else None

    def logout(self, token: str) -> None:
        """End this session."""
        self._logout(keys=[_key(token)], args=[_all_of("")])

    def logout_everywhere(self, user_id: str) -> int:
        """End every session of a user; how many there were."""
        return int(self._logout_everywhere(keys=[_all_of(user_id)]))


def _key(token: str) -> str:
    return keys.own("sessions", "token", hashlib.sha256(token.encode()).hexdigest())


def _all_of(user_id: str) -> str:
    return keys.own("sessions", "user", user_id)
