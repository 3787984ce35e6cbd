-- Reads what a commit is to be decided on, at one moment. After the store's
-- name, the clock and the worker follow questions, each with a letter; the
-- answers come in their order, in one flat list.
local answer = { text(now(ARGV[2])), ARGV[3] ~= '' and call('HEXISTS', ROOT .. 'w', ARGV[3]) or 0 }
local n = 2
local function give(v)
  n = n + 1
  answer[n] = v
end

local at = 4
local function take(count)
  at = at + count
  return unpack(ARGV, at - count, at - 1)
end

local questions = {}

-- Stamp and holder of messages.
function questions.h()
  local key, count = take(2)
  for _, v in ipairs(call('HMGET', ROOT .. key, take(tonumber(count)))) do
    give(v and sub(v, 1, 21))
  end
end

-- Fields of a hash, whole.
function questions.g()
  local key, count = take(2)
  for _, v in ipairs(call('HMGET', ROOT .. key, take(tonumber(count)))) do
    give(v)
  end
end

-- Runs by id: key and value.
function questions.i()
  local count = tonumber(take(1))
  for _, key in ipairs(call('HMGET', ROOT .. 'id', take(count))) do
    give(key)
    give(key and call('HGET', runs(key), key))
  end
end

-- The first rows of an owner.
function questions.l()
  local from, to, limit = take(3)
  local members = call('ZRANGEBYLEX', ROOT .. 'rows', from, to, 'LIMIT', 0, limit)
  give(#members)
  each(members, function(i, j)
    for k, v in ipairs(call('HMGET', ROOT .. 'row', unpack(members, i, j))) do
      give(members[i + k - 1])
      give(v)
    end
  end)
end

-- The first free messages of a run.
function questions.f()
  local from, to, limit = take(3)
  local seqs = call('ZRANGEBYLEX', ROOT .. 'free', from, to, 'LIMIT', 0, limit)
  give(#seqs)
  for i, member in ipairs(seqs) do
    seqs[i] = sub(member, 14)
  end
  local found = load(seqs)
  for _, seq in ipairs(seqs) do
    give(seq)
    give(found[seq] or false)
  end
end

-- The message of a run that has a name.
function questions.n()
  local count = tonumber(take(1))
  for _, seq in ipairs(call('HMGET', ROOT .. 'name', take(count))) do
    give(seq)
    give(seq and call('HGET', messages(seq), seq))
  end
end

while ARGV[at] do
  questions[take(1)]()
end
return answer
