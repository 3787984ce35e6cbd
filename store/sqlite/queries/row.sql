-- Reads a row.
SELECT until, body FROM millrace_rows WHERE kind = ? AND owner = ? AND name = ?
