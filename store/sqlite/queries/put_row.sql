-- Adds a row, or replaces the one of its key.
INSERT INTO millrace_rows (kind, owner, name, until, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, owner, name) DO UPDATE SET until = excluded.until, body = excluded.body
