-- Lists the first rows of all owners.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ?1 ORDER BY owner, name LIMIT ?2
