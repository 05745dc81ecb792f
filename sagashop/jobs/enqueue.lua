#!lua
-- New jobs, whose ids are not known yet; the others are left as they are. New work stops at ARGV[2] percent of maxmemory.
-- ARGV from the third on, for each job: id, priority, how many words follow, its fields · returns how many were new
local memory = redis.call('INFO', 'memory')
local used, limit = tonumber(memory:match('used_memory:(%d+)')), tonumber(memory:match('maxmemory:(%d+)'))
if limit > 0 and used * 100 >= limit * tonumber(ARGV[2]) then return 'FULL' end
local fresh, at = 0, 3
while at <= #ARGV do
  local id, priority, words = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  if redis.call('EXISTS', hash(id)) == 0 then
    redis.call('HSET', hash(id), unpack(ARGV, at + 3, at + 2 + words))
    redis.call('RPUSH', waiting[priority], id)
    fresh = fresh + 1
  end
  at = at + 3 + words
end
if fresh > 0 then ring() end
return fresh
