#!lua flags=allow-oom
-- Move an entry to the dead letters: copied and acknowledged in one step, once.
-- KEYS source, dead letters · ARGV group, entry id, then the fields
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then return false end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
