-- Reads the run of a key.
SELECT key, id, name, status, ended, body FROM millrace_runs WHERE key = ?
