-- Gives messages that a consumer has received and not acknowledged back to the
-- stream, as new entries, so that other consumers receive them at once. What
-- another consumer has claimed meanwhile stays his. An entry without the field
-- that holds the id of its message gets it, since the id was made of the
-- entry's own, which changes here.
--
-- KEYS[1] stream; ARGV: group, consumer, name of that field, ids of entries
local field = ARGV[3]
for i = 4, #ARGV do
  local id = ARGV[i]
  local own = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if #own > 0 then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    local fields = entry and entry[2] or {}
    if #fields < 7000 then -- what Lua can hand over at once; more waits to be claimed
      if entry then
        local named = false
        for j = 1, #fields, 2 do named = named or fields[j] == field end
        if not named then
          fields[#fields + 1] = field
          fields[#fields + 1] = KEYS[1] .. '/' .. id
        end
        redis.call('XADD', KEYS[1], '*', unpack(fields))
      end
      redis.call('XACK', KEYS[1], ARGV[1], id)
      redis.call('XDEL', KEYS[1], id)
    end
  end
end
return 1
