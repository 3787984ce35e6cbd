-- Lists messages of an array of seqs behind a seq; of a worker or run, if these
-- are not 0.
SELECT seq, run, due, priority, worker, published, topic, name, body FROM millrace_messages
WHERE seq = ANY ($5) AND seq > $1 AND ($2 = 0 OR worker = $2) AND ($3 = 0 OR run = $3)
ORDER BY seq LIMIT $4
