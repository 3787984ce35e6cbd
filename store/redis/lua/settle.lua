-- Finds out what came of a commit whose answer was lost: 1 if its token (ARGV[3])
-- is on its lane (ARGV[2]). If it is not there, it will never be: without a
-- token the lane takes no commit that is still on its way.
if call('GET', ROOT .. 'lane:' .. ARGV[2]) == ARGV[3] then
  return 1
end
call('DEL', ROOT .. 'lane:' .. ARGV[2])
return 0
