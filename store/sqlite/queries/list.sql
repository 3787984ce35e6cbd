-- Reads the first rows of an owner, by name.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ? AND owner = ? ORDER BY name LIMIT ?
