-- Lists runs in the order of their keys, in one piece of the way. ARGV: clock,
-- the key to begin behind (or before; '' for the newest), how many to find, how
-- many to look at, '1' for newest first, and the states as characters ('': all).
-- Answers: clock, last key looked at ('' at the end), then key and value of
-- what was found.
local after, limit, look = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local newest, states = ARGV[6] == '1', ARGV[7]
local answer = { text(now(ARGV[2])), after }

local function wanted(v) return states == '' or string.find(states, sub(v, 10, 10), 1, true) end

-- false when enough was seen.
local function visit(block)
  local hash = ROOT .. 'r:' .. block
  local there = {}
  for _, key in ipairs(call('HKEYS', hash)) do
    there[tonumber(sub(key, 12), 32)] = key
  end
  local first, last, step = 0, 1023, 1
  if newest then
    first, last, step = 1023, 0, -1
  end
  if after ~= '' and sub(after, 1, 11) == block then
    first = tonumber(sub(after, 12), 32) + step
  end
  for i = first, last, step do
    local key = there[i]
    if key then
      if limit == 0 or look == 0 then
        return false
      end
      look = look - 1
      answer[2] = key
      local v = call('HGET', hash, key)
      if wanted(v) then
        limit = limit - 1
        answer[#answer + 1] = key
        answer[#answer + 1] = v
      end
    end
  end
  return true
end

local from = after == '' and (newest and '+' or '-') or '[' .. sub(after, 1, 11)
while true do
  local blocks
  if newest then
    blocks = call('ZREVRANGEBYLEX', ROOT .. 'rb', from, '-', 'LIMIT', 0, 50)
  else
    blocks = call('ZRANGEBYLEX', ROOT .. 'rb', from, '+', 'LIMIT', 0, 50)
  end
  if #blocks == 0 then
    break
  end
  for _, block in ipairs(blocks) do
    if not visit(block) then
      return answer
    end
    from = '(' .. block
  end
end
answer[2] = ''
return answer
