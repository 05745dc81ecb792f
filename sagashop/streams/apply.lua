-- One decision: its guards, then everything or nothing. commit.lua and admit.lua stand on it.
-- A guard: key, field, kind ('is', 'absent', 'below', 'floor'), operands. A command: name, key, further arguments.
-- Keys are told by their place in KEYS.
local function holds(guard)
  local held = redis.call('HGET', KEYS[guard[1]], guard[2])
  local kind, operand = guard[3], guard[4]
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
    command[2] = KEYS[command[2]]
    redis.call(unpack(command))
  end
end
