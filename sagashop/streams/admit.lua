#!lua
-- New work from outside stops at ARGV[1] percent of maxmemory, so that there is always room to finish what was begun.
-- KEYS[1] and ARGV[2] are not used: apply.lua finds its arguments in the same places behind either head.
local memory = redis.call('INFO', 'memory')
local used, limit = tonumber(memory:match('used_memory:(%d+)')), tonumber(memory:match('maxmemory:(%d+)'))
if limit > 0 and used * 100 >= limit * tonumber(ARGV[1]) then return 'FULL' end
local function acknowledge() end
