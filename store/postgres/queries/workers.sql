-- Lists the workers, the oldest first.
SELECT key, host, boot, pidns, pid, born, started, until FROM millrace_workers ORDER BY key
