-- Reads a row.
SELECT kind, until, owner, name, body FROM millrace_rows WHERE kind = $1 AND owner = $2 AND name = $3
