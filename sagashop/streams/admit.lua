#!lua
-- New work from outside stops at ARGV[1] percent of maxmemory, so that there is always room to finish what was begun.
-- KEYS every key once · ARGV from the second on: the words of apply.lua
local memory = redis.call('INFO', 'memory')
local used, limit = tonumber(memory:match('used_memory:(%d+)')), tonumber(memory:match('maxmemory:(%d+)'))
if limit > 0 and used * 100 >= limit * tonumber(ARGV[1]) then return 'FULL' end
return apply(2, #ARGV, function() end)
