-- Notes that somebody sleeps, for a while, and answers how often messages became
-- free.
call('SET', ROOT .. 'sleep', 1, 'EX', 120)
return tonumber(call('GET', ROOT .. 'freed') or '0')
