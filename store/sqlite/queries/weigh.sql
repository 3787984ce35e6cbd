-- Tells the due time of messages (a JSON array of seqs) and the size of their
-- bodies, without reading these.
SELECT seq, due, length(body) FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?))
