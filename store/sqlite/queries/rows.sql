-- Reads rows by key. What stands in brackets is repeated for reading several.
SELECT kind, owner, name, until, body FROM millrace_rows
WHERE (kind, owner, name) IN (VALUES (?, ?, ?))
