-- Removes a row, if it exists.
DELETE FROM millrace_rows WHERE kind = ? AND owner = ? AND name = ?
