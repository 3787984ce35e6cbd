-- Removes all rows of one kind whose owner begins with another and a slash.
DELETE FROM millrace_rows WHERE kind = ?1 AND owner >= ?2 || '/' AND owner < ?2 || '0'
