-- Lists the first rows of all owners.
SELECT kind, until, owner, name, body FROM millrace_rows
WHERE kind = $1 ORDER BY kind, owner, name LIMIT $2
