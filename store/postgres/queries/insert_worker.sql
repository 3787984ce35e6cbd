-- Registers a worker under a key that no worker ever had.
INSERT INTO millrace_workers (host, boot, pidns, pid, born, started, until)
SELECT $1, $2, $3, $4, $5, t.now, t.now + $6 FROM (SELECT coalesce($7, millrace_now()) AS now) t
RETURNING key, started, until, (SELECT value FROM millrace_meta WHERE name = 'store')
