-- Lists rows of all owners behind an owner and name.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ?1 AND (owner, name) > (?2, ?3) ORDER BY owner, name LIMIT ?4
