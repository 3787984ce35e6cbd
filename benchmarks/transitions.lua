-- Makes a transition: inserts a row, updates one and deletes one, each by its
-- number. KEYS[1] is the place; ARGV: the number, how far behind it is updated
-- and deleted, and two bodies.
local n = tonumber(ARGV[1])
redis.call('SET', KEYS[1] .. n, ARGV[4])
redis.call('SET', KEYS[1] .. n - tonumber(ARGV[2]), ARGV[5])
redis.call('DEL', KEYS[1] .. n - tonumber(ARGV[3]))
return n
