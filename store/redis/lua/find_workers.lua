-- Lists all workers. Answers: clock, then key and value.
local answer = { text(now(ARGV[2])) }
for _, v in ipairs(call('HGETALL', ROOT .. 'w')) do
  answer[#answer + 1] = v
end
return answer
