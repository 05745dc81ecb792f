#!lua flags=allow-oom
-- Whoever holds the lease writes the task's row; everybody else learns how it stands, and writes nothing.
-- KEYS task · ARGV what, holder, lease (ms), how long the row is kept (s), then fields
--   take: begin the task, unless it is over or somebody else's lease is still good. Answers {'mine', attempt} or {why}
--   tell: write fields and renew the lease · end: write fields and let go. Both answer {'mine'} or {'lost'}
local task, what, holder, lease_ms, keep_s = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local status, held_by = redis.call('HGET', task, 'status'), redis.call('HGET', task, 'holder')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if what == 'take' then
  if not status then return {'gone'} end
  if status ~= 'queued' and status ~= 'running' then return {status} end
  if status == 'running' and held_by ~= holder and tonumber(redis.call('HGET', task, 'lease_ms')) > now then
    return {'held'}
  end
elseif status ~= 'running' or held_by ~= holder then
  return {'lost'}
end
if #ARGV > 4 then redis.call('HSET', task, unpack(ARGV, 5)) end
redis.call('EXPIRE', task, keep_s)
if what == 'end' then
  redis.call('HSET', task, 'holder', '')
  return {'mine'}
end
redis.call('HSET', task, 'status', 'running', 'holder', holder, 'lease_ms', string.format('%.0f', now + lease_ms))
return {'mine', what == 'take' and redis.call('HINCRBY', task, 'attempt', 1) or 0}
