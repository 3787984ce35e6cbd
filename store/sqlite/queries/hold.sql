-- Gives messages (a JSON array of seqs) to a worker, and reads them.
UPDATE millrace_messages SET worker = ?2
WHERE seq IN (SELECT value FROM json_each(?1)) AND worker = 0
RETURNING seq, topic, run, name, due, priority, worker, published, body
