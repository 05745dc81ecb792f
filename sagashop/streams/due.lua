#!lua flags=allow-oom
-- Move timers that are due onto the service's timer stream; ZREM is the fence against a second mover.
-- KEYS deadlines, timer stream · ARGV until (ms), limit, now (ms), producer
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
  redis.call('ZREM', KEYS[1], member)
  local kind, data = member:match('^(%S+) (.*)$')
  redis.call('XADD', KEYS[2], '*', 'type', kind, 'version', '1', 'id', member, 'time_ms', ARGV[3],
    'producer', ARGV[4], 'data', data)
end
return #due
