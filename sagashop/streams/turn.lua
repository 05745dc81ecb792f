#!lua flags=allow-oom
-- One relay at a time, also when memory is full. KEYS the lease · ARGV who asks, seconds
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
