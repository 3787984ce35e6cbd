-- Reads the message of a run that has a name, free or held.
SELECT seq, topic, run, name, due, priority, worker, published, body FROM millrace_messages
WHERE run = ? AND name = ? AND name IS NOT NULL ORDER BY seq DESC LIMIT 1
