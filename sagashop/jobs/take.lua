#!lua flags=allow-oom
-- Move jobs from the first waiting list that has some into the worker's own list, and count the attempt beforehand: a
-- job that kills its worker is counted, too. Who has failed before comes alone, to take no other job with it.
-- ARGV[2] worker, how many at most, lease in ms · returns {id, kind, payload, attempt, queued_ms} of each
local me, limit, now = ARGV[2], tonumber(ARGV[3]), now_ms()
local taken = {}
local function hand_out(id, found, attempt)
  taken[#taken + 1] = {id, found[3], found[4], attempt, tonumber(found[5])}
end
local function look_at(id) return redis.call('HMGET', hash(id), 'status', 'attempts', 'kind', 'payload', 'queued_ms') end

for _, id in ipairs(redis.call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)) do
  local priority = redis.call('HGET', hash(id), 'priority')
  if priority then redis.call('RPUSH', waiting[priority], id) end
  redis.call('ZREM', delayed, id)
end

-- A worker settles all it has before it takes more: what is in its list now was taken by a call whose answer was lost.
for _, id in ipairs(redis.call('LRANGE', held, 0, -1)) do
  local found = look_at(id)
  hand_out(id, found, tonumber(found[2]))
  limit = 0
end
for place = 1, 3 do
  while #taken < limit do
    local id = redis.call('LMOVE', KEYS[place], held, 'LEFT', 'RIGHT')
    if not id then break end
    local found = look_at(id)
    if found[1] ~= 'queued' then
      redis.call('LREM', held, -1, id)  -- enqueued twice within commits, and done or under way by now
    else
      local attempt = tonumber(found[2]) + 1
      if attempt > 1 then limit = 1 end
      if #taken < limit then
        redis.call('HSET', hash(id), 'status', 'processing', 'attempts', attempt, 'started_ms', now, 'worker', me)
        hand_out(id, found, attempt)
      else
        redis.call('LMOVE', held, KEYS[place], 'RIGHT', 'LEFT')
      end
    end
  end
end
if #taken > 0 then redis.call('ZADD', workers, now + tonumber(ARGV[4]), me) end
ring()
return taken
