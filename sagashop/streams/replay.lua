#!lua
-- Take a dead letter out and put its fields on the service's replay stream; who finds it gone does nothing.
-- KEYS dead letters, replay stream · ARGV dead letter's id, then the fields (none: discard only)
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return false end
local entry = ARGV[1]
if #ARGV > 1 then entry = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 2)) end  -- first, since only this may fail
redis.call('XDEL', KEYS[1], ARGV[1])
return entry
