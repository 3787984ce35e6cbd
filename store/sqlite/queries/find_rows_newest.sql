-- Lists rows of an owner before a name (of any name, when that is empty), the
-- last first.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE kind = ?1 AND owner = ?2 AND (?3 = '' OR name < ?3) ORDER BY name DESC LIMIT ?4
