-- Stands before each script. KEYS[1] is the root of all names, with the hash
-- tag of the shard: whatever a script touches is in its slot. ARGV[1] is the
-- name of the store: a script does nothing on a server that was emptied or
-- replaced.
local ROOT, call, sub = KEYS[1] .. ':', redis.call, string.sub
if call('GET', ROOT .. 'store') ~= ARGV[1] then
  return redis.error_reply('MRSTORE the store is not the one that was opened')
end

-- Nobody, no run: number 0.
local NONE = '0000000000000'

-- now gives the time that was handed in, or else the server's.
local function now(given)
  if given ~= '' then
    return tonumber(given)
  end
  local t = call('TIME')
  return t[1] * 1000000 + t[2]
end

local function text(n) return string.format('%.0f', n) end

-- landed tells whether a lane shows a commit's token, or a later one. Tokens are
-- stamps; before the first commit, a lane shows something longer.
local function landed(shown, token)
  return #shown == 8 and struct.unpack('>I8', shown) >= struct.unpack('>I8', token)
end

-- A number's hash is that of its block: all but its last two digits.
local function messages(seq) return ROOT .. 'm:' .. sub(seq, 1, 11) end
local function runs(key) return ROOT .. 'r:' .. sub(key, 1, 11) end

-- The head of a stored message: stamp 1-8, worker 9-21, run 22-34, due 35-42,
-- priority 43-44, published 45-48, lengths of topic and name 49-52.
local function held(v) return sub(v, 9, 21) ~= NONE end
local function columns(v)
  local due, priority, published, topic, name = struct.unpack('>I8I2I4I2I2', v, 35)
  return due, priority - 32768, published, sub(v, 53, 52 + topic), sub(v, 53 + topic, 52 + topic + name)
end
local NEVER = 9223372036854775807

-- enter adds a member to an ordered set, together with others when flush is
-- called, at the end of a script.
local entries = {}
local function enter(key, score, member)
  local list = entries[key]
  if not list then
    list = {}
    entries[key] = list
  end
  list[#list + 1] = score
  list[#list + 1] = member
end
local function flush()
  for key, list in pairs(entries) do
    for i = 1, #list, 1000 do
      call('ZADD', key, unpack(list, i, math.min(i + 999, #list)))
    end
  end
end

-- index enters a message where it is found but by its number. One that is held
-- and has no name is entered nowhere.
local function index(seq, v)
  local due, priority, _, topic, name = columns(v)
  local run = sub(v, 22, 34)
  if name ~= '' then
    call('HSET', ROOT .. 'name', run .. name, seq)
  end
  if held(v) then
    return
  end
  if run ~= NONE then
    enter(ROOT .. 'free', 0, run .. seq)
  end
  if due == 0 then
    enter(ROOT .. 'q:' .. topic, -priority, seq)
  elseif due < NEVER then
    enter(ROOT .. 't:' .. topic, due, seq .. priority)
  end
end

-- unindex undoes index.
local function unindex(seq, v)
  local due, priority, _, topic, name = columns(v)
  local run = sub(v, 22, 34)
  if name ~= '' and call('HGET', ROOT .. 'name', run .. name) == seq then
    call('HDEL', ROOT .. 'name', run .. name)
  end
  if held(v) then
    return
  end
  if run ~= NONE then
    call('ZREM', ROOT .. 'free', run .. seq)
  end
  if due == NEVER then
    return
  end
  if due == 0 or call('ZREM', ROOT .. 't:' .. topic, seq .. priority) == 0 then
    call('ZREM', ROOT .. 'q:' .. topic, seq)
  end
end

-- each calls f with pieces of a list that are short enough for unpack.
local function each(list, f)
  for i = 1, #list, 1000 do
    f(i, math.min(i + 999, #list))
  end
end

-- load reads messages, wherever their blocks are.
local function load(seqs)
  local blocks, found = {}, {}
  for _, seq in ipairs(seqs) do
    local key = messages(seq)
    local list = blocks[key]
    if not list then
      list = {}
      blocks[key] = list
    end
    list[#list + 1] = seq
  end
  for key, list in pairs(blocks) do
    each(list, function(i, j)
      local values = call('HMGET', key, unpack(list, i, j))
      for k, v in ipairs(values) do
        found[list[i + k - 1]] = v
      end
    end)
  end
  return found
end

-- freed tells those who sleep that there may be something to grab.
local function freed()
  local n = call('INCR', ROOT .. 'freed')
  if call('DEL', ROOT .. 'sleep') == 1 then
    call('PUBLISH', ROOT .. 'wake', n)
  end
  return n
end
