#!lua flags=allow-oom
-- Commits of messages that another broker brought: a set of what has been committed is the fence.
-- KEYS the fence, then every other key once · ARGV[1] now (ms) · ARGV[2] the commits, packed: message id, guards,
-- commands
local function commit(id, guards, commands)
  if redis.call('ZSCORE', KEYS[1], id) then return 'ALREADY' end
  if not all_hold(guards) then return 'CONFLICT' end
  redis.call('ZADD', KEYS[1], ARGV[1], id)
  carry_out(commands)
  return 'DONE'
end
local answers = {}
for i, decision in ipairs(cmsgpack.unpack(ARGV[2])) do
  local fine, answer = pcall(commit, unpack(decision))
  answers[i] = fine and answer or 'ERROR ' .. (type(answer) == 'table' and answer.err or tostring(answer))
end
return answers
