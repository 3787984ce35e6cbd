-- Gives the kind of rows, of those there are any of, that follows another.
SELECT min(kind) FROM millrace_rows WHERE kind > ?
