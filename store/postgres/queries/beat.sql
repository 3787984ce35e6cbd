-- Keeps a worker alive. Changes nothing when it was closed. Commits, which lock
-- the worker's key, are not waited for.
UPDATE millrace_workers w SET until = t.now + $2
FROM (SELECT coalesce($3, millrace_now()) AS now) t
WHERE w.key = $1
RETURNING w.key, t.now, w.until, (SELECT value FROM millrace_meta WHERE name = 'store')
