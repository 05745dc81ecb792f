#!lua flags=allow-oom
-- What became of jobs. Taking a job out of the own list is the fence: who does not find it there has lost it to others.
-- ARGV[2] worker, seconds a done job is kept, then for each job: id, outcome, pause in ms, error
-- returns for each job 1, or 0 where it was not the worker's any more
local now, answers = now_ms(), {}
local settle = {
  done = function(id)
    redis.call('HSET', hash(id), 'status', 'done', 'ended_ms', now)
    redis.call('HDEL', hash(id), 'payload', 'error', 'due_ms')
    redis.call('EXPIRE', hash(id), ARGV[3])
  end,
  again = function(id, pause, why)
    redis.call('HSET', hash(id), 'status', 'queued', 'error', why, 'due_ms', now + tonumber(pause))
    redis.call('ZADD', delayed, now + tonumber(pause), id)
  end,
  failed = function(id, _, why) give_up(id, why, now) end,
  back = function(id)  -- not begun, or nobody's fault: the attempt does not count, and it is the next
    redis.call('HINCRBY', hash(id), 'attempts', -1)
    redis.call('HSET', hash(id), 'status', 'queued')
    redis.call('LPUSH', waiting[redis.call('HGET', hash(id), 'priority')], id)
  end,
}
for at = 4, #ARGV, 4 do
  local mine = redis.call('LREM', held, 1, ARGV[at])
  if mine == 1 then settle[ARGV[at + 1]](ARGV[at], ARGV[at + 2], ARGV[at + 3]) end
  answers[#answers + 1] = mine
end
if redis.call('EXISTS', held) == 0 then redis.call('ZREM', workers, ARGV[2]) end
ring()
return answers
