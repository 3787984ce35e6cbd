-- Lists the first rows of an owner.
SELECT kind, until, owner, name, body FROM millrace_rows
WHERE kind = $1 AND owner = $2 ORDER BY kind, owner, name LIMIT $3
