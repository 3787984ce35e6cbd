-- Tells processes that sleep that messages of topics will be free when the
-- transaction is committed.
SELECT pg_notify('millrace_' || a.listener, '') FROM millrace_asleep a
WHERE a.listener <> $1 AND EXISTS (
    SELECT FROM unnest($2::text[], $3::bigint[]) AS u (topic, due)
    WHERE u.topic = ANY (a.topics) AND (u.due = 0 OR a.next = 0 OR u.due < a.next)
)
