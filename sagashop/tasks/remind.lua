#!lua flags=allow-oom
-- An open task of which nothing was heard for long is asked for again: its message may be lost with RabbitMQ's data.
-- While something stands in the outbox, its own message may be there still. The longer a task has been open, the longer
-- the pause to the next time, so that a queue that is only long does not fill with copies.
-- KEYS open tasks, task, outbox · ARGV task id, quiet for (ms), longest pause (ms), id of the message, producer
local clock = redis.call('TIME')
local now, quiet_ms = clock[1] * 1000 + math.floor(clock[2] / 1000), tonumber(ARGV[2])
local function told(field) return redis.call('HGET', KEYS[2], field) end
local function look_again(at) redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1]) end
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or now + 1) > now then return 'looked' end   -- by another worker
local status = told('status')
if status ~= 'queued' and status ~= 'running' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return 'over'
end
local created = tonumber(told('created_ms'))
local heard = math.max(created, tonumber(told('lease_ms') or 0))
if now < heard + quiet_ms then
  look_again(heard + quiet_ms)
  return 'heard'
end
if redis.call('XLEN', KEYS[3]) > 0 then return 'outbox' end
redis.call('XADD', KEYS[3], '*', 'type', told('kind'), 'version', told('version'), 'id', ARGV[4], 'time_ms',
  string.format('%.0f', now), 'producer', ARGV[5], 'data', told('data'))
look_again(now + math.min(tonumber(ARGV[3]), math.max(quiet_ms, now - created)))
return 'again'
