"""With RabbitMQ as the bus: what a relay had published when redis-ledger was saved is not in the backup any more.

So the relays of a ledger that was put back begin some minutes before its end. What had arrived by then is in the fences
that were saved with it, and has no second effect.
"""

from __future__ import annotations

from deploy.backup.redis_store import RedisStore
from deploy.switching import relayed
from sagashop.rabbit.events import GROUP
from sagashop.rabbit.fence import KEEP_MS

AGAIN_MS = KEEP_MS * 4 // 5
"""Less than what a fence remembers at least."""
SET_BACK = """
for _, stream in ipairs(KEYS) do
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if newest then
    local from = math.max(0, tonumber(newest[1]:match('%d+')) - tonumber(ARGV[2]))
    redis.pcall('XGROUP', 'SETID', stream, ARGV[1], string.format('%.0f', from))
  end
end
"""


def relay_again(ledger: RedisStore) -> None:
    """Have the relays publish the last minutes of every outbox once more; services may run."""
    streams = relayed()
    ledger.ask("EVAL", SET_BACK, str(len(streams)), *streams, GROUP, str(AGAIN_MS))
