#!lua
-- Take a dead letter out and put its fields on the service's replay stream; XDEL is the fence against a second replay.
-- KEYS dead letters, replay stream · ARGV dead letter's id, then the fields (none: discard only)
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return false end
if #ARGV == 1 then return ARGV[1] end
return redis.call('XADD', KEYS[2], '*', unpack(ARGV, 2))
