#!lua flags=allow-oom
-- Move an entry to the dead letters: copied and acknowledged in one step, once. Copied first, since only that may fail.
-- KEYS source, dead letters · ARGV group, entry id, then the fields
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then return false end
local letter = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return letter
