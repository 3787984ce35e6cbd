-- Replaces a run that exists; makes none. Its id stays as it is, which spares
-- the index of ids.
UPDATE millrace_runs SET name = ?, status = ?, ended = ?, body = ?
WHERE key = ?
