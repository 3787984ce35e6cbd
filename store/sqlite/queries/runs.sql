-- Reads the runs of a JSON array of keys. Absent ones are left out.
SELECT key, id, name, status, ended, body FROM millrace_runs
WHERE key IN (SELECT value FROM json_each(?))
