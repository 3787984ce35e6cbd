-- Makes an empty place a store, or finds the one that is there. This script
-- stands alone. ARGV: a random name, the version of the layout, and '1' if a
-- store may be made. Answers: name ('' if there is none) and version of the
-- store, before and after.
local name = redis.call('GET', KEYS[1] .. ':store')
local version = redis.call('GET', KEYS[1] .. ':layout') or '0'
if name or ARGV[3] ~= '1' then
  return { name or '', version, version }
end
redis.call('SET', KEYS[1] .. ':store', ARGV[1])
redis.call('SET', KEYS[1] .. ':layout', ARGV[2])
return { ARGV[1], version, ARGV[2] }
