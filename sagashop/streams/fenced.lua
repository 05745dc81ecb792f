#!lua flags=allow-oom
-- Commits of messages that another broker brought: a set of what has been committed is the fence.
-- KEYS the fence, then every other key once · ARGV[1] now (ms) · ARGV[2] the commits, packed: message id, guards,
-- commands
local done, seen = {}, {}
local function commit(id, guards, commands)
  if done[id] or redis.call('ZSCORE', KEYS[1], id) then return 'ALREADY' end
  if not all_hold(guards) then return 'CONFLICT' end
  carry_out(commands)
  table.insert(seen, ARGV[1])
  table.insert(seen, id)
  return 'DONE'
end
local answers = {}
for i, decision in ipairs(cmsgpack.unpack(ARGV[2])) do
  local fine, answer = pcall(commit, unpack(decision))
  answers[i] = fine and answer or 'ERROR ' .. (type(answer) == 'table' and answer.err or tostring(answer))
  if answers[i] ~= 'CONFLICT' then done[decision[1]] = true end
end
in_pieces(seen, function(...) redis.call('ZADD', KEYS[1], ...) end)
settle()  -- last: should it fail, nothing is done twice
return answers
