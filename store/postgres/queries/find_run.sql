-- Reads the run of a key.
SELECT key, status, ended, id, name, body FROM millrace_runs WHERE key = $1
