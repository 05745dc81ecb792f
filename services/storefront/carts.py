"""Carts in redis-session: one hash each, `line:<sku>` → pieces, beside its id, its version and who filled it.

A cart is found by its owner, a logged-in customer or a guest's cookie. Its id is new whenever a cart begins anew, so an
id and a version together name one content for good: orders takes the pair as idempotency key, `settle` as its guard.
Every change is one script: the line, the version and the time to live go together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from redis import Redis

from sagashop.keys import own
from sagashop.messages import new_id
from services.storefront.domain import MAX_LINES, MAX_QUANTITY, Cart, CartFull

_LINE = "line:"

_HEAD = f"""
local OWN_FIELDS, MAX_LINES, MAX_QUANTITY = 3, {MAX_LINES}, {MAX_QUANTITY}
local function begin(cart, id)
  if redis.call('HSETNX', cart, 'id', id) == 1 then redis.call('HSET', cart, 'version', 0, 'visitor', '') end
end
local function is_full(cart) return redis.call('HLEN', cart) - OWN_FIELDS >= MAX_LINES end
"""

_CHANGE = (
    _HEAD
    + """
local cart, line, pieces, id, visitor, ttl_s = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local had = tonumber(redis.call('HGET', cart, line) or 0)
if pieces > 0 and had == 0 and is_full(cart) then return 'FULL' end
if pieces ~= had then   -- setting the same again is no change, so a repeated request leaves the version alone
  begin(cart, id)
  if pieces == 0 then redis.call('HDEL', cart, line) else redis.call('HSET', cart, line, pieces) end
  redis.call('HSET', cart, 'visitor', visitor)
  redis.call('HINCRBY', cart, 'version', 1)
end
redis.call('EXPIRE', cart, ttl_s)
return {had, redis.call('HGETALL', cart)}
"""
)

_CLEAR = """
-- ARGV[1] and ARGV[2], when given, are the id and the version that the cart must still have.
local had = redis.call('HMGET', KEYS[1], 'id', 'version', 'visitor')
if ARGV[1] and (had[1] ~= ARGV[1] or had[2] ~= ARGV[2]) then return {0, had[3] or ''} end
local lines = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 5) == 'line:' then lines[#lines + 1] = field end
end
if #lines > 0 then
  redis.call('HDEL', KEYS[1], unpack(lines))
  redis.call('HINCRBY', KEYS[1], 'version', 1)
end
return {1, had[3] or ''}
"""

_MERGE = (
    _HEAD
    + """
local from, to, id, ttl_s = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local fields = redis.call('HGETALL', from)
if #fields == 0 then return end
begin(to, id)
for i = 1, #fields, 2 do
  local line, pieces = fields[i], fields[i + 1]
  if string.sub(line, 1, 5) == 'line:' then
    local had = tonumber(redis.call('HGET', to, line) or 0)
    if had > 0 or not is_full(to) then redis.call('HSET', to, line, math.min(MAX_QUANTITY, had + pieces)) end
  end
end
redis.call('HSET', to, 'visitor', redis.call('HGET', from, 'visitor'))
redis.call('HINCRBY', to, 'version', 1)
redis.call('EXPIRE', to, ttl_s)
redis.call('DEL', from)
"""
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose cart it is: a customer's id, or the secret in a guest's cookie."""

    kind: str
    id: str

    @property
    def key(self) -> str:
        return own("storefront", "cart", self.kind, self.id)


def customer(customer_id: str) -> Owner:
    return Owner("customer", customer_id)


def guest(secret: str) -> Owner:
    return Owner("guest", secret)


class Changed(NamedTuple):
    """A cart after a change, and how many pieces the line gained (negative: lost)."""

    cart: Cart
    gained: int


class Carts:
    """All carts. Redis errors pass through; the web answers them with 503."""

    def __init__(self, redis: Redis, ttl_s: int) -> None:
        self._redis, self._ttl_s = redis, ttl_s
        self._change = redis.register_script(_CHANGE)
        self._clear = redis.register_script(_CLEAR)
        self._merge = redis.register_script(_MERGE)

    def get(self, owner: Owner) -> Cart:
        """The cart as it is; looking at it keeps it."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(owner.key)
            pipe.expire(owner.key, self._ttl_s)
            fields, _ = pipe.execute()
        return _cart(fields)

    def change(self, owner: Owner, sku: str, quantity: int, visitor_id: str = "") -> Changed:
        """Set the pieces of one line; 0 removes it. Setting what is set already changes nothing.

        Raises:
            CartFull: it would be one line too many.
        """
        answer = self._change(keys=[owner.key], args=[_LINE + sku, quantity, new_id(), visitor_id, self._ttl_s])
        if answer == "FULL":
            raise CartFull
        had, flat = answer
        return Changed(_cart(dict(zip(flat[::2], flat[1::2], strict=True))), quantity - had)

    def empty(self, owner: Owner) -> None:
        """Remove every line."""
        self._clear(keys=[owner.key])

    def merge(self, guests: Owner, customers: Owner) -> None:
        """Move a guest's lines into the customer's cart, adding up pieces. What exceeds a limit is left out.

        Doing it twice is harmless: the second time the guest's cart is gone.
        """
        self._merge(keys=[guests.key, customers.key], args=[new_id(), self._ttl_s])

    def settle(self, customer_id: str, cart_id: str, version: int) -> tuple[bool, str]:
        """Empty the customer's cart if it is still exactly the one that was ordered.

        Idempotent: after it the version has moved on. Returns whether it matched, and the visitor who filled the cart.
        """
        matched, visitor = self._clear(keys=[customer(customer_id).key], args=[cart_id, version])
        return bool(matched), visitor


def _cart(fields: dict[str, Any]) -> Cart:
    if not fields:
        return Cart()
    lines = {name.removeprefix(_LINE): int(pieces) for name, pieces in fields.items() if name.startswith(_LINE)}
    return Cart(id=fields["id"], version=int(fields["version"]), quantities=dict(sorted(lines.items())))
