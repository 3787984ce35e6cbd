-- Gives free messages to a worker. ARGV: clock, worker, most messages, most
-- bytes (0: any), how many of what follows are topics, then topics, or the
-- seqs of a claim.
local time, worker, limit, most = now(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local topics = tonumber(ARGV[6])
if call('HEXISTS', ROOT .. 'w', worker) == 0 then
  return redis.error_reply('MRLEASE the worker is not alive')
end

-- Candidates: seq, priority, key of the set that they are in, member of it.
local candidates, mixed = {}, 0
local function add(seq, priority, key, member, v)
  candidates[#candidates + 1] = { seq, priority, key, member, v }
end

-- What of a topic is ready, and what has fallen due and must be sorted in.
local function look(topic)
  local key = ROOT .. 'q:' .. topic
  local ready = call('ZRANGE', key, 0, limit, 'WITHSCORES')
  for i = 1, #ready, 2 do
    add(ready[i], -tonumber(ready[i + 1]), key, ready[i])
  end
  if #ready > 0 then
    mixed = mixed + 1
  end
  key = ROOT .. 't:' .. topic
  local ripe = call('ZRANGEBYSCORE', key, '-inf', text(time), 'LIMIT', 0, math.max(limit + 1, 1000))
  for _, member in ipairs(ripe) do
    add(sub(member, 1, 13), tonumber(sub(member, 14)), key, member)
    mixed = 2
  end
end

local function claim(seqs)
  local found = load(seqs)
  for _, seq in ipairs(seqs) do
    local v = found[seq]
    if v and not held(v) then
      local due, priority, published, topic = columns(v)
      if due <= time or published > 0 then
        add(seq, priority, nil, topic, v)
      end
    end
  end
  mixed = 2
end

if topics > 0 then
  for i = 7, 6 + topics do
    look(ARGV[i])
  end
else
  local seqs = {}
  for i = 7, #ARGV do
    seqs[#seqs + 1] = ARGV[i]
  end
  claim(seqs)
end
if mixed > 1 then
  local order = {}
  for _, c in ipairs(candidates) do
    order[c] = tonumber(c[1], 32)
  end
  table.sort(candidates, function(a, b)
    if a[2] ~= b[2] then
      return a[2] > b[2]
    end
    return order[a] < order[b]
  end)
end

-- Choose within the limits, reading ahead piece by piece.
local taken, bytes, next = {}, 0, 1
local leave, wait = {}, {}
while next <= #candidates and #taken < limit and (#taken == 0 or most == 0 or bytes < most) do
  local c = candidates[next]
  if not c[5] and not c[6] then
    local seqs, last = {}, math.min(next + 63, #candidates)
    for i = next, last do
      seqs[#seqs + 1] = candidates[i][1]
    end
    local found = load(seqs)
    for i = next, last do
      candidates[i][5] = found[candidates[i][1]]
      candidates[i][6] = true
    end
  end
  local v = c[5]
  if not v or held(v) then
    leave[#leave + 1] = c -- the set is wrong
  elseif c[3] and select(1, columns(v)) > time then
    wait[#wait + 1] = c -- the clock was set back
  else
    taken[#taken + 1] = c
    bytes = bytes + #v
  end
  next = next + 1
end
local more = next <= #candidates

-- What has fallen due and stays is sorted in from here on.
local ready = ROOT .. 'q:'
for i = next, #candidates do
  local c = candidates[i]
  if c[3] and c[3] ~= ready and #c[4] > 13 then
    call('ZREM', c[3], c[4])
    enter(ready .. sub(c[3], #ready + 1), -c[2], c[1])
  end
end
for _, c in ipairs(leave) do
  call('ZREM', c[3], c[4])
end
for _, c in ipairs(wait) do
  local due, priority, _, topic = columns(c[5])
  call('ZREM', c[3], c[4])
  enter(ROOT .. 't:' .. topic, due, c[1] .. priority)
end

-- Hold what was taken.
local answer = { text(time), more and 1 or 0, '0', #taken }
local sets, blocks, stopped = {}, {}, {}
local function group(into, key, a, b)
  local list = into[key]
  if not list then
    list = {}
    into[key] = list
  end
  list[#list + 1] = a
  if b then
    list[#list + 1] = b
  end
end
for _, c in ipairs(taken) do
  local seq, v = c[1], c[5]
  local run = sub(v, 22, 34)
  if c[3] then
    group(sets, c[3], c[4])
  else
    local due, priority = columns(v)
    group(sets, ROOT .. 'q:' .. c[4], seq)
    if due > 0 then
      group(sets, ROOT .. 't:' .. c[4], seq .. priority)
    end
  end
  if run ~= NONE then
    group(sets, ROOT .. 'free', run .. seq)
    stopped[run] = true
  end
  group(blocks, messages(seq), seq, sub(v, 1, 8) .. worker .. sub(v, 22))
  answer[#answer + 1] = seq
  answer[#answer + 1] = v
end
for key, list in pairs(sets) do
  each(list, function(i, j) call('ZREM', key, unpack(list, i, j)) end)
end
for key, list in pairs(blocks) do
  each(list, function(i, j) call('HSET', key, unpack(list, i, j)) end)
end

flush()

-- When the next one falls due.
local soonest
for i = 7, 6 + topics do
  local first = call('ZRANGEBYSCORE', ROOT .. 't:' .. ARGV[i], '(' .. text(time), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local due = tonumber(first[2])
  if due and (not soonest or due < soonest) then
    soonest = due
  end
end
answer[3] = soonest and text(soonest) or '0'

-- How their runs stand.
for run in pairs(stopped) do
  local v = call('HGET', runs(run), run)
  answer[#answer + 1] = run
  answer[#answer + 1] = v and sub(v, 10, 10) or ''
end
return answer
