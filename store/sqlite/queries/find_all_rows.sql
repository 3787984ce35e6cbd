-- Lists rows of all owners behind an owner and name.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ? AND (owner, name) > (?, ?) ORDER BY owner, name LIMIT ?
