-- Lists which messages of a JSON array of seqs are free, and due or published;
-- those that were published count as due.
SELECT seq, priority, CASE WHEN published > 0 THEN 0 ELSE due END FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?)) AND worker = 0 AND (due <= ? OR published > 0)
ORDER BY priority DESC, seq
