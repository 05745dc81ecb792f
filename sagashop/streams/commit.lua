#!lua flags=allow-oom
-- The acknowledgement is the fence: whoever acknowledges has committed; everyone else stops here.
-- XPENDING raises NOGROUP where the group is gone. allow-oom: finishing work must go on when memory is full.
-- A batch is one call, so that the file is synced once for all of it; but each commit stands or falls by itself.
-- KEYS every key once · ARGV[1] group, then for each commit: how many words follow, source (its place in KEYS),
-- entry id, and the words of apply.lua
local group = ARGV[1]
local function commit(at, stop)
  local source, entry = KEYS[tonumber(ARGV[at])], ARGV[at + 1]
  if #redis.call('XPENDING', source, group, entry, entry, 1) == 0 then return 'ALREADY' end
  return apply(at + 2, stop, function() redis.call('XACK', source, group, entry) end)
end
local answers, at = {}, 2
while at <= #ARGV do
  local stop = at + tonumber(ARGV[at])
  local fine, answer = pcall(commit, at + 1, stop)
  answers[#answers + 1] = fine and answer or 'ERROR ' .. (type(answer) == 'table' and answer.err or tostring(answer))
  at = stop + 1
end
return answers
