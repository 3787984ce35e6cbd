-- Finds out what came of a commit whose answer was lost: 1 if its token (ARGV[3])
-- is on its lane (ARGV[2]), or that of a later commit, which can't be without
-- it. If it is not there, it will never be: without a token the lane takes no
-- commit that is still on its way.
local shown = call('GET', ROOT .. 'lane:' .. ARGV[2])
if shown and landed(shown, ARGV[3]) then
  return 1
end
call('DEL', ROOT .. 'lane:' .. ARGV[2])
return 0
