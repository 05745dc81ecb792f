#!lua flags=allow-oom
-- What the broker has given up becomes a dead letter of the service, once, and its task has failed.
-- KEYS dead letters, mark of this message; where there is a task: its row, list of the open ones, list of the failed
-- ARGV how long the mark is kept (s), now (ms), reason, how long the task's row is kept (s), the task's id, then the
-- letter's fields
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local letter = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 6))
redis.call('SET', KEYS[2], letter, 'EX', ARGV[1])
local status = KEYS[3] and redis.call('HGET', KEYS[3], 'status')
if status == 'queued' or status == 'running' then
  redis.call('HSET', KEYS[3], 'status', 'failed', 'reason', ARGV[3], 'holder', '', 'note', '', 'ended_ms', ARGV[2])
  redis.call('EXPIRE', KEYS[3], ARGV[4])
  redis.call('ZREM', KEYS[4], ARGV[5])
  redis.call('ZADD', KEYS[5], ARGV[2], ARGV[5])
end
return letter
