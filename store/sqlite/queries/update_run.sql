-- Replaces a run that exists; makes none.
UPDATE millrace_runs SET id = ?2, name = ?3, status = ?4, ended = ?5, body = ?6
WHERE key = ?1
