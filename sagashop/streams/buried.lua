#!lua flags=allow-oom
-- Move a message that another broker brought to the dead letters, once.
-- KEYS fence, dead letters · ARGV now (ms), the message's id, then the fields
if redis.call('ZSCORE', KEYS[1], ARGV[2]) then return false end
local letter = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
return letter
