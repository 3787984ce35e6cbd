-- Lists messages in the order of seq, in one piece of the way. ARGV: clock, the
-- seq to begin behind, how many to find, how many to look at, worker and run
-- ('': any). Answers: clock, last seq looked at ('' at the end), then seq and
-- value of what was found.
local after, limit, look = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local worker, run = ARGV[6], ARGV[7]
local answer = { text(now(ARGV[2])), after }

-- false when enough was seen.
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
      if limit == 0 or look == 0 then
        return false
      end
      look = look - 1
      answer[2] = seq
      local v = call('HGET', key, seq)
      if (worker == '' or sub(v, 9, 21) == worker) and (run == '' or sub(v, 22, 34) == run) then
        limit = limit - 1
        answer[#answer + 1] = seq
        answer[#answer + 1] = v
      end
    end
  end
  return true
end

local from = '[' .. sub(after, 1, 11)
while true do
  local blocks = call('ZRANGEBYLEX', ROOT .. 'mb', from, '+', 'LIMIT', 0, 50)
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
