-- Lists which messages of a JSON array of seqs are free and due.
SELECT seq, priority FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?1)) AND worker = 0 AND due <= ?2
ORDER BY priority DESC, seq
