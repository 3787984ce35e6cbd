-- Removes closed runs that ended before a time, the oldest first, at most so
-- many, and tells which.
DELETE FROM millrace_runs WHERE key IN (
    SELECT key FROM millrace_runs WHERE ended > 0 AND ended < ? ORDER BY ended LIMIT ?
)
RETURNING key
