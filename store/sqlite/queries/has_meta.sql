-- Tells whether the file has a schema of millrace at all.
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'millrace_meta'
