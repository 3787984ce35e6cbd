-- Lists rows of an owner behind a name.
SELECT kind, until, owner, name, body FROM millrace_rows
WHERE kind = $1 AND owner = $2 AND name > $3 ORDER BY kind, owner, name LIMIT $4
