-- Lists which messages of a JSON array of seqs are free and due.
SELECT seq, priority, due FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?)) AND worker = 0 AND due <= ?
ORDER BY priority DESC, seq
