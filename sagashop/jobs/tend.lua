#!lua flags=allow-oom
-- Renew the worker's lease, if it holds jobs, and hand the jobs of workers whose lease has ended to others.
-- ARGV[2] worker, lease in ms (0: do not renew), what lists of held jobs begin with, most attempts
-- returns {worker, how many jobs, how many of them failed} for each that is gone
local now, gone = now_ms(), {}
if tonumber(ARGV[3]) > 0 then redis.call('ZADD', workers, 'XX', now + tonumber(ARGV[3]), ARGV[2]) end
for _, name in ipairs(redis.call('ZRANGE', workers, '-inf', now, 'BYSCORE', 'LIMIT', 0, 10)) do
  local jobs, hopeless = 0, 0
  local id = redis.call('RPOP', ARGV[4] .. name)  -- from the end, each to the head: the oldest is the next
  while id do
    local attempts, priority = unpack(redis.call('HMGET', hash(id), 'attempts', 'priority'))
    if tonumber(attempts) >= tonumber(ARGV[5]) then
      give_up(id, 'given up: the worker died or was lost at every attempt', now)
      hopeless = hopeless + 1
    else
      redis.call('HSET', hash(id), 'status', 'queued', 'error', 'the worker died or was lost')
      redis.call('LPUSH', waiting[priority], id)
    end
    jobs = jobs + 1
    id = redis.call('RPOP', ARGV[4] .. name)
  end
  redis.call('ZREM', workers, name)
  gone[#gone + 1] = {name, jobs, hopeless}
end
if #gone > 0 then ring() end
return gone
