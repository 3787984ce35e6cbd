-- Reads the first rows of an owner, by name.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ?1 AND owner = ?2 ORDER BY name LIMIT ?3
