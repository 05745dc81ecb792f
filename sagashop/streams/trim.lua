#!lua flags=allow-oom
-- Trim a stream by id, never above the oldest entry that some group has not acknowledged (MAXLEN would destroy it).
-- KEYS stream · ARGV wanted MINID, then the groups that must exist before anything is dropped
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local function before(a, b)
  local a_ms, a_seq = a:match('(%d+)-?(%d*)')
  local b_ms, b_seq = b:match('(%d+)-?(%d*)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return (tonumber(a_seq) or 0) < (tonumber(b_seq) or 0)
end
local floor, seen = ARGV[1], {}
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #info, 2 do group[info[i]] = info[i + 1] end
  seen[group['name']] = true
  local kept = group['last-delivered-id']
  if group['pending'] > 0 then kept = redis.call('XPENDING', KEYS[1], group['name'])[2] end
  if before(kept, floor) then floor = kept end
end
for i = 2, #ARGV do if not seen[ARGV[i]] then return 0 end end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', floor)
