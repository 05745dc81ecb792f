#!lua flags=allow-oom
-- Whoever holds the lease writes the task's row; everybody else learns how it stands, and writes nothing.
-- KEYS task, list of the open ones, list of the failed ones
-- ARGV what, holder, lease (ms), how long the row is kept (s), the task's id, then fields
--   take: begin the task, unless it is over or somebody else's lease is still good. Answers {why}, or {'mine', attempt,
--     the note that was there}
--   tell: write fields and renew the lease · end: write fields and let go. Both answer {'mine'} or {'lost'}
local task, what, holder, lease_ms, keep_s, id = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
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
local noted = what == 'take' and redis.call('HGET', task, 'note')
if #ARGV > 5 then redis.call('HSET', task, unpack(ARGV, 6)) end
redis.call('EXPIRE', task, keep_s)
if what == 'end' then
  redis.call('HSET', task, 'holder', '')
  local ended = redis.call('HGET', task, 'status')
  if ended ~= 'queued' then redis.call('ZREM', KEYS[2], id) end
  if ended == 'failed' then redis.call('ZADD', KEYS[3], now, id) end
  return {'mine'}
end
redis.call('HSET', task, 'status', 'running', 'holder', holder, 'lease_ms', string.format('%.0f', now + lease_ms))
if what == 'tell' then return {'mine'} end
return {'mine', redis.call('HINCRBY', task, 'attempt', 1), noted}
