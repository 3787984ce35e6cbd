-- Reads the first free messages of a run, by seq.
SELECT seq, topic, run, name, due, priority, worker, published, body FROM millrace_messages
WHERE run = ? AND run <> 0 AND worker = 0 ORDER BY seq LIMIT ?
