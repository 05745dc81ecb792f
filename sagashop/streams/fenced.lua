#!lua flags=allow-oom
-- Commits of messages that another broker brought: a set of what has been committed is the fence.
-- KEYS every key once · ARGV[1] the fence (its place in KEYS), now (ms), then for each commit: how many words follow,
-- the message's id, and the words of apply.lua
local fence, now = KEYS[tonumber(ARGV[1])], ARGV[2]
local function commit(at, stop)
  local id = ARGV[at]
  if redis.call('ZSCORE', fence, id) then return 'ALREADY' end
  return apply(at + 1, stop, function() redis.call('ZADD', fence, now, id) end)
end
local answers, at = {}, 3
while at <= #ARGV do
  local stop = at + tonumber(ARGV[at])
  local fine, answer = pcall(commit, at + 1, stop)
  answers[#answers + 1] = fine and answer or 'ERROR ' .. (type(answer) == 'table' and answer.err or tostring(answer))
  at = stop + 1
end
return answers
