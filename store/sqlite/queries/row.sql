-- Reads a row.
SELECT until, body FROM millrace_rows WHERE kind = ?1 AND owner = ?2 AND name = ?3
