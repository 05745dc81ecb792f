#!lua flags=allow-oom
-- Take a job out of the failed ones, which happens once: to be tried anew, or for good.
-- ARGV[2] id, 'retry' or 'discard' · returns 1, or 0 where it is not among them
local id = ARGV[2]
if redis.call('LREM', failed, 1, id) == 0 then return 0 end
if ARGV[3] == 'discard' then
  redis.call('DEL', hash(id))
else
  redis.call('HSET', hash(id), 'status', 'queued', 'attempts', 0)
  redis.call('HDEL', hash(id), 'ended_ms', 'due_ms')
  redis.call('RPUSH', waiting[redis.call('HGET', hash(id), 'priority')], id)
  ring()
end
return 1
