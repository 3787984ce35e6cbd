-- Removes a row, if it exists.
DELETE FROM millrace_rows WHERE kind = ?1 AND owner = ?2 AND name = ?3
