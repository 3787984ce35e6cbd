-- Removes all rows of one kind that an owner has.
DELETE FROM millrace_rows WHERE kind = ?1 AND owner = ?2
