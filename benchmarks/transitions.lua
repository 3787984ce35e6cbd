-- Makes transitions: inserts a row, updates one and deletes one, each by its
-- number. KEYS[1] is the place; ARGV: the first number, how many, how far behind
-- it is updated and deleted, and the body.
local first, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local update, delete, body = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
for n = first, first + count - 1 do
  redis.call('SET', KEYS[1] .. n, body)
  redis.call('SET', KEYS[1] .. n - update, body)
  redis.call('DEL', KEYS[1] .. n - delete)
end
return count
