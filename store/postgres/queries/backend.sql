-- Tells which backend serves the connection, and since when: process ids are
-- used again.
SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_get_activity(pg_backend_pid())
