#!lua flags=allow-oom
-- What the broker has given up becomes a dead letter of the service, once, and its task has failed.
-- KEYS dead letters, mark of this message, task (may be none) · ARGV how long the mark is kept (s), now (ms), reason,
-- how long the task's row is kept (s), then the letter's fields
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local letter = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 5))
redis.call('SET', KEYS[2], letter, 'EX', ARGV[1])
local status = KEYS[3] and redis.call('HGET', KEYS[3], 'status')
if status == 'queued' or status == 'running' then
  redis.call('HSET', KEYS[3], 'status', 'failed', 'reason', ARGV[3], 'holder', '', 'note', '', 'ended_ms', ARGV[2])
  redis.call('EXPIRE', KEYS[3], ARGV[4])
end
return letter
