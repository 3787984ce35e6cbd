-- Tells who holds the messages of a JSON array of seqs. Absent ones are left out.
SELECT seq, worker FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?))
