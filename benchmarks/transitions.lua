-- Makes transitions: inserts a row, updates one and deletes one, each by its
-- number. KEYS[1] is the place; ARGV: the first number, how far behind it is
-- updated and deleted, and two bodies for each transition.
local first, update, delete = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 4, #ARGV, 2 do
  redis.call('SET', KEYS[1] .. first, ARGV[i])
  redis.call('SET', KEYS[1] .. first - update, ARGV[i + 1])
  redis.call('DEL', KEYS[1] .. first - delete)
  first = first + 1
end
return first
