-- Lists rows of all owners behind an owner and name.
SELECT kind, until, owner, name, body FROM millrace_rows
WHERE kind = $1 AND (kind, owner, name) > ($1, $2, $3) ORDER BY kind, owner, name LIMIT $4
