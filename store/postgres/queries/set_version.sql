-- Sets the version of the schema, in the migration's own transaction.
INSERT INTO millrace_meta (name, value) VALUES ('schema', $1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
