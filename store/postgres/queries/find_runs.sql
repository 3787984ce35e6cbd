-- Lists runs behind a key, of some states, or of all when there are none.
SELECT key, status, ended, id, name, body FROM millrace_runs
WHERE key > $1 AND ($2::bigint[] IS NULL OR status = ANY ($2))
ORDER BY key LIMIT $3
