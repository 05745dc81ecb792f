#!lua flags=allow-oom
-- The acknowledgement is the fence: whoever acknowledges has committed; everyone else stops here.
-- allow-oom: finishing work must go on when memory is full.
-- A batch is one call, so that the file is synced once for all of it; but each commit stands or falls by itself.
-- KEYS every key once · ARGV[1] group · ARGV[2] the commits, packed: source, entry id, guards, commands
local group = ARGV[1]
local function pending(source, entry)  -- raises NOGROUP where the group is gone
  return #redis.call('XPENDING', source, group, entry, entry, 1) > 0
end
local function commit(place, entry, guards, commands)
  local source = KEYS[place]
  if not all_hold(guards) then return pending(source, entry) and 'CONFLICT' or 'ALREADY' end
  if redis.call('XACK', source, group, entry) == 0 then
    pending(source, entry)
    return 'ALREADY'
  end
  carry_out(commands)
  return 'DONE'
end
local answers = {}
for i, decision in ipairs(cmsgpack.unpack(ARGV[2])) do
  local fine, answer = pcall(commit, unpack(decision))
  answers[i] = fine and answer or 'ERROR ' .. (type(answer) == 'table' and answer.err or tostring(answer))
end
return answers
