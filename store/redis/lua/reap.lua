-- Closes workers, and frees what unknown ones hold in a piece of the messages.
-- ARGV: clock, whether to close those whose lease has ended, how many messages
-- to look at, the seq to begin behind, then workers to close whatever their
-- lease. Answers: clock, freed, last seq looked at ('' at the end), then the
-- closed workers, key and value.
local time, expired, limit, after = now(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4]), ARGV[5]
local asked = {}
for i = 6, #ARGV do
  asked[ARGV[i]] = true
end
local answer = { text(time), 0, after }
local alive = {}
local all = call('HGETALL', ROOT .. 'w')
for i = 1, #all, 2 do
  local key, v = all[i], all[i + 1]
  if asked[key] or expired and struct.unpack('>I8', v) < time then
    call('HDEL', ROOT .. 'w', key)
    answer[#answer + 1] = key
    answer[#answer + 1] = v
  else
    alive[key] = true
  end
end
if limit <= 0 then
  return answer
end

-- A message that went to a broker is due at once, since nobody will get it
-- from there again.
local DUE = struct.pack('>I8', 0)

local left, total = limit, 0

-- Looks at what of a block is behind seq, in order; false when enough was seen.
local function visit(block)
  local key = ROOT .. 'm:' .. block
  local there = {}
  for _, seq in ipairs(call('HKEYS', key)) do
    there[tonumber(sub(seq, 12), 32)] = seq
  end
  local first = 0
  if sub(after, 1, 11) == block then
    first = tonumber(sub(after, 12), 32) + 1
  end
  for i = first, 1023 do
    local seq = there[i]
    if seq then
      if left == 0 then
        return false
      end
      left = left - 1
      answer[3] = seq
      local v = call('HGET', key, seq)
      if held(v) and not alive[sub(v, 9, 21)] then
        local _, _, published = columns(v)
        local due = published > 0 and DUE or sub(v, 35, 42)
        v = sub(v, 1, 8) .. NONE .. sub(v, 22, 34) .. due .. sub(v, 43)
        call('HSET', key, seq, v)
        index(seq, v)
        total = total + 1
      end
    end
  end
  return true
end

local finished = true
local from = '[' .. sub(after, 1, 11)
repeat
  local blocks = call('ZRANGEBYLEX', ROOT .. 'mb', from, '+', 'LIMIT', 0, 50)
  for _, block in ipairs(blocks) do
    if not visit(block) then
      finished = false
      break
    end
    from = '(' .. block
  end
until #blocks == 0 or not finished
if finished then
  answer[3] = ''
end
answer[2] = total
flush()
if total > 0 then
  call('DEL', ROOT .. 'by') -- no lane is alone any more
  freed()
end
return answer
