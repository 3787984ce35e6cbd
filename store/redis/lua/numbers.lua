-- Gives so many numbers (ARGV[4]) that nobody else is given, for a lane (ARGV[2])
-- that shows a token (ARGV[3]; '': as before) from here on, and returns the first. None is
-- below ARGV[5], which the caller knows to be in use; the second answer tells
-- what would have been given otherwise.
local n, floor = tonumber(ARGV[4]), tonumber(ARGV[5])
local next = tonumber(call('GET', ROOT .. 'next') or '1')
local first = math.max(next, floor)
call('SET', ROOT .. 'next', text(first + n))
if ARGV[3] ~= '' then
  call('SET', ROOT .. 'lane:' .. ARGV[2], ARGV[3], 'EX', 86400)
end
return { text(first), text(next) }
