-- Lists runs behind a key, of the states of a JSON array, or of all when it is
-- empty.
SELECT key, id, name, status, ended, body FROM millrace_runs
WHERE key > ?1 AND (?2 = '[]' OR status IN (SELECT value FROM json_each(?2)))
ORDER BY key LIMIT ?3
