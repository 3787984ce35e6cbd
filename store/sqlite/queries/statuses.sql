-- Tells the status of runs (a JSON array of keys).
SELECT key, status FROM millrace_runs WHERE key IN (SELECT value FROM json_each(?))
