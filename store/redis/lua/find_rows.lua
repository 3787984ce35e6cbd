-- Lists rows of a range of keys. ARGV: clock, from, to, how many, '1' for last
-- first (from is then the upper end). Answers: clock, then key and value.
local command = ARGV[6] == '1' and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX'
local members = call(command, ROOT .. 'rows', ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])
local answer = { text(now(ARGV[2])) }
each(members, function(i, j)
  for k, v in ipairs(call('HMGET', ROOT .. 'row', unpack(members, i, j))) do
    answer[#answer + 1] = members[i + k - 1]
    answer[#answer + 1] = v
  end
end)
return answer
