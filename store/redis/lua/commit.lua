-- Applies the changes of a commit, all or nothing. First come checks: what was
-- decided on must be as it was read. Only when all of them hold is anything
-- written; from there on nothing can fail.
--
-- ARGV[2] is the lane of the commit, ARGV[3] the token that it must show, and
-- ARGV[4] the one that it shows afterwards: so a commit whose answer was lost
-- can be found, and one that is late is void. ARGV[5] is a worker, and ARGV[6]
-- whether it was alive ('0' or '1'). ARGV[7] is the token of the commit since
-- which the lane was alone, as far as its process knows ('': it does not): no
-- other lane has committed, and no reaper has freed anything. If that is so, held
-- messages without a name and open runs that the lane left since are as it left
-- them, and are not looked at: purges delete closed runs, and grabs change
-- messages that nobody holds.
--
-- Answers: {1, n, time, token} applied, n the count of times that messages became
-- free, or 0, and the token of the commit since which the lane is alone; {1, n,
-- time} applied before; {0, what} a check failed; {-1, id, key} the id belongs to
-- another run.
local lane = call('GET', ROOT .. 'lane:' .. ARGV[2])
if lane and landed(lane, ARGV[4]) then
  return { 1, 0, text(now('')) }
end
if lane ~= ARGV[3] then
  return { 0, 'lane' }
end
if ARGV[5] ~= '' and call('HEXISTS', ROOT .. 'w', ARGV[5]) ~= tonumber(ARGV[6]) then
  return { 0, 'worker' }
end

-- Which lane is alone, and since which commit.
local by = call('GET', ROOT .. 'by')
local alone = by == ARGV[2] .. ARGV[7]

local at = 8
local function take(count)
  at = at + count
  return unpack(ARGV, at - count, at - 1)
end

local old, oldRun, oldRow, publish, own = {}, {}, {}, {}, {}
local checks, writes = {}, {}

-- same compares the beginnings of values with what was read; '*' was not.
local function same(values, length, count, note)
  for i = 1, count do
    local v, want = values[i], ARGV[at + count + i - 1]
    if want ~= '*' and (v and sub(v, 1, length) or '') ~= want then
      return false
    end
    if v then
      note[ARGV[at + i - 1]] = v
    end
  end
  at = at + 2 * count
  return true
end

local function fields(count) return unpack(ARGV, at, at + count - 1) end

-- Messages of a block: stamp and holder.
function checks.m()
  local key, count = take(2)
  count = tonumber(count)
  return same(call('HMGET', ROOT .. key, fields(count)), 21, count, old)
end

-- Runs of a block: stamp.
function checks.r()
  local key, count = take(2)
  count = tonumber(count)
  return same(call('HMGET', ROOT .. key, fields(count)), 8, count, oldRun)
end

-- Messages of a block that the lane left so.
function checks.mo()
  if not alone then
    return checks.m()
  end
  at = at + 2 + 2 * ARGV[at + 1]
  return true
end

-- Runs of a block that the lane left so.
function checks.ro()
  if not alone then
    return checks.r()
  end
  local first, count = at + 2, tonumber(ARGV[at + 1])
  for i = first, first + count - 1 do
    own[ARGV[i]] = true
  end
  at = first + 2 * count
  return true
end

-- Rows: stamp.
function checks.o()
  local count = tonumber(take(1))
  return same(call('HMGET', ROOT .. 'row', fields(count)), 8, count, oldRow)
end

-- Keys of ids and seqs of names.
function checks.k()
  local key, count = take(2)
  count = tonumber(count)
  return same(call('HMGET', ROOT .. key, fields(count)), 13, count, {})
end

-- What is in a range, and no more than that.
function checks.l()
  local key, from, to, limit, count = take(5)
  local members = call('ZRANGEBYLEX', ROOT .. key, from, to, 'LIMIT', 0, limit)
  count = tonumber(count)
  if #members ~= count then
    return false
  end
  for i = 1, count do
    if members[i] ~= ARGV[at + i - 1] then
      return false
    end
  end
  at = at + count
  return true
end

-- A command of another's: it must be allowed, and fit the type of its key.
function checks.x()
  local count = tonumber(take(1))
  publish[#publish + 1] = { at, at + count - 1 }
  if not redis.acl_check_cmd(take(count)) then
    return redis.error_reply('NOPERM this user may not publish by ' .. ARGV[at - count])
  end
  if string.upper(ARGV[at - count]) == 'XADD' then
    local is = call('TYPE', ARGV[at - count + 1]).ok
    if is ~= 'stream' and is ~= 'none' then
      return redis.error_reply('WRONGTYPE ' .. ARGV[at - count + 1] .. ' is no stream but a ' .. is)
    end
  end
  return true
end

-- Ids of new runs: nobody has them.
function checks.u()
  local count = tonumber(take(1))
  local first = at
  for i, key in ipairs(call('HMGET', ROOT .. 'id', take(count))) do
    if key then
      return { -1, ARGV[first + i - 1], key }
    end
  end
  return true
end

while ARGV[at] and ARGV[at] ~= '!' do
  local what = take(1)
  local ok = checks[what]()
  if ok ~= true then
    return ok or { 0, what }
  end
end

if not by or sub(by, 1, #by - 8) ~= ARGV[2] then
  by = ARGV[2] .. ARGV[4]
  call('SET', ROOT .. 'by', by)
end

for _, range in ipairs(publish) do
  call(unpack(ARGV, range[1], range[2]))
end

-- New messages of a block that are held and have no name.
function writes.H()
  local block, count = take(2)
  call('HSET', ROOT .. 'm:' .. block, take(2 * tonumber(count)))
  call('ZADD', ROOT .. 'mb', 0, block)
end

-- Other new messages of a block.
function writes.I()
  local block, count = take(2)
  local first = at
  call('HSET', ROOT .. 'm:' .. block, take(2 * tonumber(count)))
  call('ZADD', ROOT .. 'mb', 0, block)
  for i = first, at - 1, 2 do
    index(ARGV[i], ARGV[i + 1])
  end
end

-- Messages of a block that change, if they exist.
function writes.U()
  local block, count = take(2)
  for _ = 1, tonumber(count) do
    local seq, v = take(2)
    local was = old[seq]
    if was then
      unindex(seq, was)
      call('HSET', ROOT .. 'm:' .. block, seq, v)
      index(seq, v)
    end
  end
end

-- Messages of a block that end.
function writes.D()
  local block, count = take(2)
  local first = at
  call('HDEL', ROOT .. 'm:' .. block, take(tonumber(count)))
  for i = first, at - 1 do
    local was = old[ARGV[i]]
    if was and (sub(was, 51, 52) ~= '\0\0' or not held(was)) then
      unindex(ARGV[i], was)
    end
  end
  if call('EXISTS', ROOT .. 'm:' .. block) == 0 then
    call('ZREM', ROOT .. 'mb', block)
  end
end

-- The head of a run: stamp 1-8, whether it may be purged 9, status 10, ended
-- 11-18.
local function purgeable(v) return sub(v, 9, 9) == '1' and struct.unpack('>I8', v, 11) end

local function reschedule(key, was, v)
  local before, after = was and purgeable(was), purgeable(v)
  if before and not after then
    call('ZREM', ROOT .. 'ended', key)
  elseif after and before ~= after then
    enter(ROOT .. 'ended', after, key)
  end
end

-- New runs of a block.
function writes.R()
  local block, count = take(2)
  local first = at
  call('HSET', ROOT .. 'r:' .. block, take(2 * tonumber(count)))
  call('ZADD', ROOT .. 'rb', 0, block)
  for i = first, at - 1, 2 do
    reschedule(ARGV[i], nil, ARGV[i + 1])
  end
end

-- Runs of a block that change, if they exist.
function writes.S()
  local block, count = take(2)
  local there = {}
  for _ = 1, tonumber(count) do
    local key, v = take(2)
    local was = oldRun[key]
    if was or own[key] then
      reschedule(key, was, v)
      there[#there + 1] = key
      there[#there + 1] = v
    end
  end
  if #there > 0 then
    call('HSET', ROOT .. 'r:' .. block, unpack(there))
  end
end

-- Ids of new runs.
function writes.K()
  local count = tonumber(take(1))
  call('HSET', ROOT .. 'id', take(2 * count))
end

-- The head of a row: stamp 1-8, until 9-16.
local function until_(v) return struct.unpack('>I8', v, 9) end

-- Rows.
function writes.O()
  local count = tonumber(take(1))
  local first = at
  call('HSET', ROOT .. 'row', take(2 * count))
  for i = first, at - 1, 2 do
    local member = ARGV[i]
    local was, time = oldRow[member], until_(ARGV[i + 1])
    local before = was and until_(was) or 0
    if not was then
      enter(ROOT .. 'rows', 0, member)
    end
    if time > 0 and time ~= before then
      enter(ROOT .. 'until', time, member)
    elseif time == 0 and before > 0 then
      call('ZREM', ROOT .. 'until', member)
    end
  end
end

-- Rows that end.
function writes.X()
  local count = tonumber(take(1))
  local first = at
  call('HDEL', ROOT .. 'row', take(count))
  call('ZREM', ROOT .. 'rows', unpack(ARGV, first, at - 1))
  for i = first, at - 1 do
    local was = oldRow[ARGV[i]]
    if was and until_(was) > 0 then
      call('ZREM', ROOT .. 'until', ARGV[i])
    end
  end
end

local count = 0

-- Messages became free.
function writes.F() count = freed() end

at = at + 1
while ARGV[at] do
  writes[take(1)]()
end
flush()
call('SET', ROOT .. 'lane:' .. ARGV[2], ARGV[4], 'EX', 86400)
return { 1, count, text(now('')), sub(by, -8) }
