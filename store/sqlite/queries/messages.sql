-- Reads the messages of a JSON array of seqs. Absent ones are left out.
SELECT seq, topic, run, name, due, priority, worker, published, body FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?))
