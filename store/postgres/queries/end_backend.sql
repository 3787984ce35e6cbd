-- Ends a backend that is waiting for a client that is gone. One that is in the
-- middle of a COMMIT brings it to its end first.
SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity($1)
WHERE (extract(epoch FROM backend_start) * 1000000)::bigint = $2
