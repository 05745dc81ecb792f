-- One decision: its guards, then everything or nothing (but for an error half-way, see commit.stopped_by). commit.lua, fenced.lua, admit.lua and finish.lua stand on it.
-- A guard: key, field, kind ('is', 'absent', 'below', 'floor'), operands. A command: name, key, further arguments.
-- Keys are told by their place in KEYS.
--
-- Each write is also a line in the append-only file, which costs more than the write itself. So what commutes is
-- gathered, and settle() writes it once for all decisions of the call: 'add' (field, by) and 'timer' (member, due).
local sums, timers = {}, {}
local function add(key, field, by)
  local open = sums[key] or {}
  sums[key] = open
  if open[field] then
    open[field] = open[field] + by
  else  -- the first of its field goes at once: where that is no number, this decision fails, and no other
    redis.call('HINCRBY', KEYS[key], field, by)
    open[field] = 0
  end
end
local function settle_sums(key)
  for field, by in pairs(sums[key]) do
    if by ~= 0 then redis.call('HINCRBY', KEYS[key], field, string.format('%.0f', by)) end
  end
  sums[key] = nil
end
local function timer(key, member, due)  -- the last word on a timer is what counts; without `due` it is cleared
  timers[key] = timers[key] or {}
  timers[key][member] = due or false
end
local function in_pieces(words, call)  -- unpack takes no more than some thousand
  for at = 1, #words, 2000 do call(unpack(words, at, math.min(at + 1999, #words))) end
end
local function settle()
  local failed
  for key in pairs(sums) do
    local fine, why = pcall(settle_sums, key)
    failed = failed or not fine and why
  end
  for key, last in pairs(timers) do
    local set, cleared = {}, {}
    for member, due in pairs(last) do
      if due then
        table.insert(set, due)
        table.insert(set, member)
      else
        table.insert(cleared, member)
      end
    end
    in_pieces(set, function(...) redis.call('ZADD', KEYS[key], ...) end)
    in_pieces(cleared, function(...) redis.call('ZREM', KEYS[key], ...) end)
  end
  if failed then error(failed) end
end
local function value(key, field)
  local held, open = redis.call('HGET', KEYS[key], field), sums[key] and sums[key][field]
  return open and open ~= 0 and string.format('%.0f', held + open) or held
end
local function holds(guard)
  local held, kind, operand = value(guard[1], guard[2]), guard[3], guard[4]
  if kind == 'is' then return held == operand end
  if kind == 'absent' then return not held end
  if kind == 'below' then return tonumber(held or 0) < tonumber(operand) end
  return tonumber(held or 0) + tonumber(operand) >= tonumber(guard[5])
end
local function all_hold(guards)
  for _, guard in ipairs(guards) do
    if not holds(guard) then return false end
  end
  return true
end
local function carry_out(commands)
  for _, command in ipairs(commands) do
    local name, key = command[1], command[2]
    if name == 'add' then
      add(key, command[3], command[4])
    elseif name == 'timer' then
      timer(key, command[3], command[4])
    else
      if sums[key] then settle_sums(key) end  -- it may set the same field, or delete the key
      command[2] = KEYS[key]
      redis.call(unpack(command))
    end
  end
end
