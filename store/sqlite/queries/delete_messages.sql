-- Removes the messages of a JSON array of seqs, those of them that exist.
DELETE FROM millrace_messages WHERE seq IN (SELECT value FROM json_each(?))
