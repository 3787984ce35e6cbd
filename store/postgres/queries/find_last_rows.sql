-- Lists the last rows of an owner, the last first.
SELECT kind, until, owner, name, body FROM millrace_rows
WHERE kind = $1 AND owner = $2 ORDER BY kind DESC, owner DESC, name DESC LIMIT $3
