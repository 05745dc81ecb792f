#!lua flags=allow-oom
-- Move timers that are due onto the service's timer stream; ZREM is the fence against a second mover.
-- A reply that came before a deadline counts before its timer, also after a downtime and with several workers: timers
-- wait for replies that nobody has read yet or that are in their first delivery, and only for those.
-- KEYS deadlines, timer stream, then the streams of replies · ARGV now (ms), limit, group, producer
local now = tonumber(ARGV[1])
if #redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1) == 0 then return 0 end
local horizon = now
local function hold_for(entry_id) horizon = math.min(horizon, tonumber(entry_id:match('^%d+')) - 1) end
for i = 3, #KEYS do
  for _, entry in ipairs(redis.call('XPENDING', KEYS[i], ARGV[3], '-', '+', 100)) do
    if entry[4] == 1 then hold_for(entry[1]) break end
  end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[i])) do
    local group = {}
    for at = 1, #info, 2 do group[info[at]] = info[at + 1] end
    if group['name'] == ARGV[3] then
      local unread = redis.call('XRANGE', KEYS[i], '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
      if unread[1] then hold_for(unread[1][1]) end
    end
  end
end
local due = redis.call('ZRANGE', KEYS[1], '-inf', horizon, 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
  local kind, data = member:match('^(%S+) (.*)$')
  redis.call('XADD', KEYS[2], '*', 'type', kind or '?', 'version', '1', 'id', member, 'time_ms', now,
    'producer', ARGV[4], 'data', data or member)
  redis.call('ZREM', KEYS[1], member)
end
return #due
