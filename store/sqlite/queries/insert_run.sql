-- Adds a run. A key or id that exists is an error.
INSERT INTO millrace_runs (key, id, name, status, ended, body)
VALUES (?, ?, ?, ?, ?, ?)
