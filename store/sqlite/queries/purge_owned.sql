-- Removes all rows of one kind that an owner has.
DELETE FROM millrace_rows WHERE kind = ? AND owner = ?
