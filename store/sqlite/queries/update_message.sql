-- Replaces a message that exists; makes none.
UPDATE millrace_messages
SET topic = ?2, run = ?3, name = ?4, due = ?5, priority = ?6, worker = ?7, body = ?8
WHERE seq = ?1
