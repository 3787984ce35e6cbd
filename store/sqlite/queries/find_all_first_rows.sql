-- Lists the first rows of all owners.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ? ORDER BY owner, name LIMIT ?
