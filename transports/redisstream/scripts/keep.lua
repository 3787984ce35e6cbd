-- Tells the group that a consumer still works on messages: their idle time
-- begins anew. A message that another consumer has claimed meanwhile stays his.
--
-- KEYS[1] stream; ARGV: group, consumer, ids of entries
for i = 3, #ARGV do
  local own = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #own > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  end
end
return 1
