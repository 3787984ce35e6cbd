-- Replaces what changes of a run while it goes on; touches no index.
UPDATE millrace_runs SET status = ?, body = ?
WHERE key = ?
