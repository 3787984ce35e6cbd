-- Removes a consumer from the group unless messages are pending for it.
--
-- KEYS[1] stream; ARGV: group, consumer
local own = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #own > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
