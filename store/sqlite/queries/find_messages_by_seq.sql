-- Lists messages of a JSON array of seqs behind a seq; of a worker or run, if
-- these are not 0.
SELECT seq, topic, run, name, due, priority, worker, published, body FROM millrace_messages
WHERE seq IN (SELECT value FROM json_each(?5))
  AND seq > ?1 AND (?2 = 0 OR worker = ?2) AND (?3 = 0 OR run = ?3)
ORDER BY seq LIMIT ?4
