-- Reads the run of an id.
SELECT key, status, ended, id, name, body FROM millrace_runs WHERE id = $1
