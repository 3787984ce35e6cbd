-- Lists rows of an owner before a name, the last first.
SELECT kind, until, owner, name, body FROM millrace_rows
WHERE kind = $1 AND owner = $2 AND name < $3 ORDER BY kind DESC, owner DESC, name DESC LIMIT $4
