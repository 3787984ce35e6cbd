-- Keeps a worker (ARGV[3]) alive until a lease (ARGV[4]) from now has passed, or
-- registers one, described by ARGV[5], under a key that no worker ever had.
local time = now(ARGV[2])
local till = time + tonumber(ARGV[4])
if ARGV[3] ~= '' then
  local v = call('HGET', ROOT .. 'w', ARGV[3])
  if not v then
    return redis.error_reply('MRLEASE the worker is not alive')
  end
  call('HSET', ROOT .. 'w', ARGV[3], struct.pack('>I8', till) .. sub(v, 9))
  return { text(time), text(till), 0 }
end
local key = call('INCR', ROOT .. 'worker')
local digits, name = '0123456789abcdefghijklmnopqrstuv', ''
local left = key
for _ = 1, 13 do
  local d = left % 32
  name = sub(digits, d + 1, d + 1) .. name
  left = (left - d) / 32
end
call('HSET', ROOT .. 'w', name, struct.pack('>I8I8', till, time) .. ARGV[5])
return { text(time), text(till), key }
