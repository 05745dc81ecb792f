#!lua flags=allow-oom
-- The acknowledgement is the fence: whoever acknowledges has committed; everyone else stops here.
-- XPENDING raises NOGROUP where the group is gone. allow-oom: finishing work must go on when memory is full.
-- KEYS[1] source stream · ARGV[1] group · ARGV[2] entry id · the rest as apply.lua says
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then return 'ALREADY' end
local function acknowledge() redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) end
