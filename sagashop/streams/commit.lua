#!lua flags=allow-oom
-- The acknowledgement is the fence: whoever acknowledges has committed; everyone else stops here.
-- allow-oom: finishing work must go on when memory is full.
-- A batch is one call, so that the file is synced once for all of it; but each commit stands or falls by itself.
-- KEYS every key once · ARGV[1] group · ARGV[2] the commits, packed: source, entry id, guards, commands
local group, done, entries = ARGV[1], {}, {}
local function pending(source, entry)  -- raises NOGROUP where the group is gone
  return #redis.call('XPENDING', KEYS[source], group, entry, entry, 1) > 0
end
local function commit(source, entry, guards, commands)
  if done[source .. ' ' .. entry] or not pending(source, entry) then return 'ALREADY' end
  if not all_hold(guards) then return 'CONFLICT' end
  carry_out(commands)
  entries[source] = entries[source] or {}
  table.insert(entries[source], entry)
  return 'DONE'
end
local answers = {}
for i, decision in ipairs(cmsgpack.unpack(ARGV[2])) do
  local fine, answer = pcall(commit, unpack(decision))
  answers[i] = fine and answer or 'ERROR ' .. (type(answer) == 'table' and answer.err or tostring(answer))
  if answers[i] ~= 'CONFLICT' then done[decision[1] .. ' ' .. decision[2]] = true end
end
for source, committed in pairs(entries) do
  in_pieces(committed, function(...) redis.call('XACK', KEYS[source], group, ...) end)
end
settle()  -- last: should it fail, nothing is done twice
return answers
