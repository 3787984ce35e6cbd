-- Replaces a message that exists; makes none.
UPDATE millrace_messages
SET topic = ?, run = ?, name = ?, due = ?, priority = ?, worker = ?, published = ?, body = ?
WHERE seq = ?
