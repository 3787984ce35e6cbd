-- Lists what of a topic has waited for its time and may be grabbed now, the
-- longest due first. Reads nothing but the index.
SELECT seq, priority, due FROM millrace_messages
WHERE topic = ? AND worker = 0 AND due > 0 AND due <= ? ORDER BY due LIMIT ?
