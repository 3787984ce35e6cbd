-- Gives the version of the schema.
SELECT value FROM millrace_meta WHERE name = 'schema'
