-- Deletes rows whose time has passed, and runs that ended before a time with
-- all that belongs to them. ARGV: clock, that time ('0': no runs), how many
-- rows or runs at most, how many rows of runs at most. Answers how many it
-- deleted; a run that is too big for one piece is counted each time.
local time, before, limit, most = now(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local deleted = 0

local function drop(members)
  each(members, function(i, j)
    call('HDEL', ROOT .. 'row', unpack(members, i, j))
    call('ZREM', ROOT .. 'rows', unpack(members, i, j))
    call('ZREM', ROOT .. 'until', unpack(members, i, j))
  end)
  return #members
end

deleted = drop(call('ZRANGEBYSCORE', ROOT .. 'until', '-inf', text(time), 'LIMIT', 0, limit))
if before == '0' or deleted >= limit then
  return deleted
end

-- The kinds that there are rows of, in the two digits that keys begin with.
local kinds = {}
local first = call('ZRANGEBYLEX', ROOT .. 'rows', '-', '+', 'LIMIT', 0, 1)[1]
while first do
  local kind = sub(first, 1, 2)
  kinds[#kinds + 1] = kind
  local next = tonumber(kind, 16) + 1
  first = next < 256 and call('ZRANGEBYLEX', ROOT .. 'rows', '[' .. string.format('%02x', next), '+', 'LIMIT', 0, 1)[1]
end

-- Deletes what belongs to a run; false when there may be more of it.
local function clear(run)
  for _, kind in ipairs(kinds) do
    local owner = '[' .. kind .. run
    for _, range in ipairs({ { '\0\1', '\0\2' }, { '/', '0' } }) do
      most = most - drop(call('ZRANGEBYLEX', ROOT .. 'rows', owner .. range[1], '(' .. kind .. run .. range[2], 'LIMIT', 0, most))
      if most <= 0 then
        return false
      end
    end
  end
  return true
end

for _, key in ipairs(call('ZRANGEBYSCORE', ROOT .. 'ended', '-inf', '(' .. before, 'LIMIT', 0, limit - deleted)) do
  deleted = deleted + 1
  if not clear(key) then
    return deleted
  end
  local hash = runs(key)
  local v = call('HGET', hash, key)
  if v then
    local id = struct.unpack('>I4', v, 19)
    call('HDEL', ROOT .. 'id', sub(v, 27, 26 + id))
    call('HDEL', hash, key)
    if call('EXISTS', hash) == 0 then
      call('ZREM', ROOT .. 'rb', sub(key, 1, 11))
    end
  end
  call('ZREM', ROOT .. 'ended', key)
end
return deleted
