-- Closes workers, and frees what unknown workers hold in a piece of the messages.
SELECT part, key, host, boot, pidns, pid, born, started, until FROM millrace_reap($1, $2, $3, $4, $5)
