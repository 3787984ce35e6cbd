-- Closes workers: those of a JSON array of keys, and those whose lease ended
-- before a time. What they held is free from here on; reaping makes it so.
DELETE FROM millrace_workers
WHERE until < ?2 OR key IN (SELECT value FROM json_each(?1))
RETURNING key, host, boot, pidns, pid, born, started, until
