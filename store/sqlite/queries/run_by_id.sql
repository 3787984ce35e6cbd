-- Reads the run of an id.
SELECT key, id, name, status, ended, body FROM millrace_runs WHERE id = ?
