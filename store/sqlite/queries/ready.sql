-- Lists what of a topic can be grabbed now: higher priority first, then older.
-- Reads nothing but the index.
SELECT seq, priority, due FROM millrace_messages
WHERE topic = ? AND worker = 0 AND due <= 0 ORDER BY priority DESC, seq LIMIT ?
