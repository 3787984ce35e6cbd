-- Tells the size of the bodies of messages (a JSON array of seqs), without
-- reading these.
SELECT seq, length(body) FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?))
