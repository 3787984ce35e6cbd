-- Adds a row, or replaces the one of its key.
INSERT INTO millrace_rows (kind, owner, name, until, body) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (kind, owner, name) DO UPDATE SET until = excluded.until, body = excluded.body
