-- Removes rows whose time has passed, at most so many.
DELETE FROM millrace_rows WHERE (kind, owner, name) IN (
    SELECT kind, owner, name FROM millrace_rows WHERE until > 0 AND until <= ?
    ORDER BY until LIMIT ?
)
