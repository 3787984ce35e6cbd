-- Lists rows of an owner behind a name.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ?1 AND owner = ?2 AND name > ?3 ORDER BY name LIMIT ?4
