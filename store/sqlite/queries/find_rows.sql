-- Lists rows of an owner behind a name.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ? AND owner = ? AND name > ? ORDER BY name LIMIT ?
