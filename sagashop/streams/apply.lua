-- One decision: its guards, then everything or nothing. commit.lua and admit.lua stand on it.
-- Words from `at` to `stop` in ARGV: the number of guards, then for each: key (its place in KEYS), field,
-- kind ('is', 'absent', 'below', 'floor'), two operands; then commands: number of words, name, key, further arguments.
local function apply(at, stop, acknowledge)
  local guards = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, guards do
    local held = redis.call('HGET', KEYS[tonumber(ARGV[at])], ARGV[at + 1])
    local kind, first, second = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local holds
    if kind == 'is' then holds = held == first
    elseif kind == 'absent' then holds = not held
    elseif kind == 'below' then holds = tonumber(held or 0) < tonumber(first)
    else holds = tonumber(held or 0) + tonumber(first) >= tonumber(second) end
    if not holds then return 'CONFLICT' end
    at = at + 5
  end
  acknowledge()
  while at <= stop do
    local words = tonumber(ARGV[at])
    redis.call(ARGV[at + 1], KEYS[tonumber(ARGV[at + 2])], unpack(ARGV, at + 3, at + words))
    at = at + words + 1
  end
  return 'DONE'
end
