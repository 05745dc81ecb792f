#!lua
-- New work from outside stops at ARGV[1] percent of maxmemory, so that there is always room to finish what was begun.
-- KEYS every key once · ARGV[2] the decision, packed: guards, commands
local memory = redis.call('INFO', 'memory')
local used, limit = tonumber(memory:match('used_memory:(%d+)')), tonumber(memory:match('maxmemory:(%d+)'))
if limit > 0 and used * 100 >= limit * tonumber(ARGV[1]) then return 'FULL' end
local guards, commands = unpack(cmsgpack.unpack(ARGV[2]))
if not all_hold(guards) then return 'CONFLICT' end
carry_out(commands)
settle()
return 'DONE'
