-- The keys of a queue, the same for all its scripts: three waiting lists, then the rest as QueueKeys names them.
-- ARGV[1] is what job keys begin with: ids are found in the lists, so their hashes cannot be named beforehand.
local waiting = {high = KEYS[1], normal = KEYS[2], low = KEYS[3]}
local delayed, failed, wake, workers, held = KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local function hash(id) return ARGV[1] .. id end
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Idle workers block on `wake`, and look at it without taking anything out. It has one entry exactly while jobs wait:
-- a state, not a message, so no wake-up is lost with whoever got it.
local function ring()
  local left = redis.call('LLEN', KEYS[1]) + redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[3])
  local entries = redis.call('LLEN', wake)
  if entries > 1 or left == 0 then redis.call('DEL', wake) entries = 0 end
  if entries == 0 and left > 0 then redis.call('RPUSH', wake, 1) end
end
local function give_up(id, why, now)
  redis.call('HSET', hash(id), 'status', 'failed', 'error', why, 'ended_ms', now)
  redis.call('RPUSH', failed, id)
end
