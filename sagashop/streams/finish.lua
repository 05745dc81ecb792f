#!lua flags=allow-oom
-- What finishes work that was admitted goes on when memory is full.
-- KEYS every key once · ARGV[1] the decision, packed: guards, commands
local guards, commands = unpack(cmsgpack.unpack(ARGV[1]))
if not all_hold(guards) then return 'CONFLICT' end
carry_out(commands)
settle()
return 'DONE'
